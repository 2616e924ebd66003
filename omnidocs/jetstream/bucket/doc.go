// Package bucket keeps the results of a queue (package jetstream) in a bucket of objects: a folder, S3, Google Cloud Storage, or whatever else gocloud.dev/blob has a
// driver for. The server then keeps who has read what, and nothing large.
//
//	import _ "gocloud.dev/blob/s3blob" // the driver of s3://
//
//	store, err := bucket.Open(ctx, "s3://results?region=eu-central-1", bucket.Options{})
//	q, err := jetstream.Dial(ctx, "nats://queue:4222", jetstream.Config{Store: store})
//
// All who open a queue must give it the same bucket: workers, and those who fetch results. A result is an object of JSON, named "results/" and the 64 hexadecimal digits
// of its key; nothing else is written. Objects are never changed, and never removed: a rule of the bucket for its lifetime does that, after which a page is read anew.
//
// # Drivers
//
// The package links none, so that who wants a folder need not have the clients of Amazon and Google in the program. Import those that you want:
//
//	file:///folder  gocloud.dev/blob/fileblob
//	s3://bucket     gocloud.dev/blob/s3blob
//	gs://bucket     gocloud.dev/blob/gcsblob
//	mem://          gocloud.dev/blob/memblob (a new one each time it is opened; for tests)
//
// Parameters of the URLs are those of the drivers; "?prefix=a/" puts a prefix before all names.
//
// # Create, if there is none
//
// What makes a result one, however many workers come with it at once, is for each driver:
//
//   - s3: the header If-None-Match, with which Amazon S3 refuses the second. A server that speaks S3 and ignores the header keeps the last one: try yours.
//     Workers must be allowed s3:GetObject and s3:PutObject on the objects, and s3:ListBucket on the bucket, without which S3 says of an object that is not there that
//     it is forbidden.
//   - gs: the precondition ifGenerationMatch=0, in the same way. Workers must be allowed storage.objects.get and storage.objects.create. The driver cannot tell what is
//     forbidden from what is not there: the error of a bucket that one may not read comes when the first result is written.
//   - file: a hard link, made to a file that is complete and on the disk. The driver's own check is not used: of two that write at once both pass it, and the second
//     replaces what the first wrote. Folders need a file system that has hard links, and buckets that are not opened by [Open] the driver's option NoTempDir.
//   - mem: the driver's lock.
//   - azblob: the header If-None-Match. Nothing of it was tried here.
package bucket
