// Package jobs reads documents, one or a hundred thousand, and survives what happens on the way.
//
//	result, err := jobs.ProcessDirectory(ctx, "pdfs", ex, jobs.DirectoryOptions{OutputDir: "results"})
//
// reads every PDF of a folder and writes a JSON file for each, in the shape of the Python library OmniDocs, whose process_document and
// process_directory these functions are.
//
// # One page's fault is one page's
//
// A page that cannot be rendered or read, a document that cannot be opened, a result that cannot be written: each is in the result with its
// error, and the job goes on. An error of a job as a whole means that it could not begin, that its context ended, or that the extractor
// was closed; what was read until then is in the result beside it.
//
// What can pass (the network, the device's memory) is tried again, see [Retry]; what cannot is not. A page that has killed the process
// that read it is read alone from then on, and after [DefaultMaxDeaths] deaths set aside with [ErrPoisoned].
//
// # A job goes on where it was
//
// With an output folder a job keeps a journal (package journal) of what has been read. A job that was killed, by kill -9 or by the power, and is
// started again reads the pages that it had not read, and its output is the same, byte for byte, as if nothing had happened. For that the files hold
// no times; [PageOutcome] does.
//
// Pages are known by their pixels, and by what the extractor says of itself and of the options, see [Fingerprinter]. Another model, prompt, resolution or
// sampling is another page. Pages that failed are tried again by the next job.
//
// # How much is in memory
//
// Pages are rendered as the extractor takes them: never more than [Options].Window images are there at a time, however many documents there
// are. Results are kept until the job ends, unless DiscardText says otherwise.
package jobs
