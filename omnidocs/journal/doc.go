// Package journal keeps what has been read, so that a job that was killed goes on where it was.
//
// A journal is a folder. Results are kept under the content that they were made of, see [Key]: the pixels of the page, and who
// reads it with which options. A page that has been read once is not read again, whatever its file is called now, whoever asks,
// and however the process before ended.
//
// # What a crash costs
//
// [Journal.Put] returns when the result is on the disk. A process that is killed in the middle of one leaves a record that is
// cut short; it is recognized by its checksum and passed over. So a crash loses the pages that were being read, and nothing else.
//
// [Journal.Begin] says that a page is about to be read. If the process dies then, the next one finds a beginning without an end and
// counts it against the page, see [Deaths]: that is how a page that kills its reader is told from others.
//
// # Why files of lines, and no database
//
// The store is what the job needs and no more: records are added, never changed; they are looked up by one key; several processes
// write at the same time, and any of them may be killed. A database in one file (bbolt) admits one process at a time; SQLite
// admits several, and is either cgo or ten megabytes of translated C in every program that imports this library. Here each process
// appends to a file of its own, which the system's file lock marks as taken for as long as the process lives, and reads those of the
// others. A record is a line of text with a checksum: it can be looked at with less, and a damaged one costs itself alone.
//
// The folder must be on a file system whose locks hold between all processes that use it. Local disks do.
package journal
