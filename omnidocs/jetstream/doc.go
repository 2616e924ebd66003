// Package jetstream reads documents on as many machines as there are, over NATS JetStream: documents are submitted from anywhere, and workers anywhere, each
// with a model of its own, pull their pages.
//
//	q, err := jetstream.Dial(ctx, "nats://queue:4222", jetstream.Config{})   // on each machine
//	err = q.Work(ctx, extractor, jetstream.WorkerOptions{FileRoots: []string{"/data"}})  // a worker: until ctx ends
//
//	batch, err := jobs.ProcessDirectory(ctx, "/data/pdfs", nil, jobs.DirectoryOptions{
//		OutputDir: "results",
//		Remote:    q.Remote(jetstream.RemoteOptions{}), // without this line, and with an extractor, it is read in this process
//	})
//
// A server for one machine, or for tests, is in package embedded beside this one; nats-server is one for many.
// Results are on the server, or in a bucket (a folder, S3, Google Cloud Storage) with module omnidocs/jetstream/bucket, which is one of its own.
//
// # The way of a page
//
//	Submit ─ document tasks ─▶ a worker opens the document, counts its pages ─ page tasks ─▶ workers read them
//	  ─ result, under the key of its content ─▶ the store     ─ outcome, under the page's name ─▶ the ledger ─▶ Status, Outcomes, Remote
//
// Messages are small: they say where a document is and which of its pages are meant, never what is in it. Each is a JSON object with a version, see [Task], [Job],
// [Entries], [DeadLetter] and [StoredResults]; unknown fields are errors, and a task that cannot be understood goes to the dead letters.
//
// # Read once, counted once
//
// JetStream delivers a task at least once. A result is kept under a key of the page's pixels and of who reads it with which options (that of package journal), with "create, if there
// is none"; of the entries that the ledger has of a page, the first is the one that counts. So a page that was read twice, since its first worker was slow to say so, has one result
// and one outcome, and a page that any job has read before is not read again.
//
// # What the server remembers
//
// A server keeps its subjects in memory, and its messages on the disk. So no page has a subject of its own: a job's ledger is one subject, results are another, an index says
// which message has the result of a key, in 65,536 buckets, and outcomes that come at the same time share a message.
//
// # What happens when
//
//   - A worker dies: what it had is delivered to others when Config.AckWait has passed without a sign of life. Nothing is lost, and nothing done twice but the
//     pages that it was reading.
//   - A page kills its workers: a page whose worker died is not read together with another such, and after two deaths with nothing else, so that the
//     innocent are told from the guilty; after [WorkerOptions].MaxDeaths of them it is a dead letter, with its reason, and has failed.
//   - A page fails: it is tried again as the job says, then, if the error may pass, by others; in the end it is a dead letter, with its reason, and has failed.
//   - The server restarts: workers and submitters wait and go on. A server that is killed (not its machine) loses nothing; against the loss of a machine there are
//     Config.Replicas.
//   - A worker shall end: when the context of [Queue.Work] does, it takes no more, ends what it has, and gives back what it cannot.
//
// # One model a queue
//
// Whoever pulls a page reads it. Workers with different models, or of different teams, need queues of different names: Config.Name.
package jetstream
