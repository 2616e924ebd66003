package backend

// VisionHits counts the pages whose visual tokens were there. No page may be under way.
func VisionHits(e *Engine) int { return e.scheduler.vision.hits }
