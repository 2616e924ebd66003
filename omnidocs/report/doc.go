// Package report writes what a job did as one page of HTML that can be looked through in a browser: every page as a picture with the boxes of its elements over it, its text
// beside it, how sure the model was, what failed and why, what the PDF's own text says against it, and where the time went.
//
//	path, err := report.Write(ctx, "results", batch, report.Options{CostPerHour: 1.10})
//
// The page is one file that needs nothing else: no network, no other files. What documents and models say is shown as text and never run; a content security policy in the
// page sees to it that nothing else is.
package report
