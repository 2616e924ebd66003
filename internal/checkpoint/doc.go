// Package checkpoint reads the weights of a model from safetensors files.
//
// A checkpoint is a folder that holds either model.safetensors or
// model.safetensors.index.json with the shards it names, as transformers
// writes them. [Open] parses only the headers and holds them to the format:
// every length and offset is compared with the size of the file before it is
// used, so a damaged or hostile file costs an error and no memory. The tensors
// are then read one at a time, straight into memory that the caller owns:
//
//	ckpt, err := checkpoint.OpenDir(dir)
//	defer ckpt.Close()
//	for _, t := range ckpt.Tensors() {
//		dst := make([]float32, t.Elements())
//		err := ckpt.ReadFloat32(ctx, t.Name, dst, checkpoint.ReadOptions{})
//	}
//
// [Checkpoint.ReadInto] copies the stored bytes; [Checkpoint.ReadFloat32],
// [Checkpoint.ReadBFloat16] and [Checkpoint.ReadFloat16] convert from F32,
// F16, BF16 and the types of 8 bits on the way, through small fixed buffers,
// can read a part of a tensor and multiply it with scales. All of them use
// every core and may be called concurrently.
//
// The format is described at https://huggingface.co/docs/safetensors.
package checkpoint
