// Package inbox reads the documents that are dropped into a folder: at once, when they come, or at the hours of a schedule.
//
//	box, err := inbox.Open("data", ex, inbox.Options{})
//	if err != nil {
//		return err
//	}
//	defer box.Close()
//	return box.Schedule(ctx, inbox.Schedule{Cron: "0 0 * * *"}) // daily at midnight, as the guide of the Python library has it
//
// # The folders
//
// In the folder that is opened there are
//
//	inbox/      where files are dropped
//	results/    a JSON file for each, with its text
//	processed/  the files that were read whole
//	failed/     those that were not, each with a file beside it that says why
//	.omnidocs/  what is being read, and the journal
//
// They must be on one file system, since files are moved by renaming them. Files in folders within the inbox, links, hidden files and those of other kinds
// are left where they are. A file whose name is taken in results or processed gets "-2", "-3" and so on: nothing is ever overwritten, but for the result of a file
// with the very same bytes by the same.
//
// A document of which some pages could not be read has a result, with the errors of those pages, and goes to failed; dropped again, only these are read
// again.
//
// # Several workers
//
// Any number of processes, each with an Inbox of its own, may work on one folder. A worker claims a file by renaming it into a folder of its own, which only one
// can do. That folder's lock is held for as long as the process lives; when it dies, by whatever, the system lets go of it, and the next worker that
// comes by takes over what it had claimed. So every file is read once, or again if it was its worker's last, and no file is lost. Several machines can work on one shared folder if
// its file system has locks that hold between them, as NFS 4 does.
//
// A file that is still being written is no document yet: it is left alone until nobody has written to it for a while, see [Options].Settle. It is better to
// write it elsewhere on the same file system and to rename it into the inbox.
package inbox
