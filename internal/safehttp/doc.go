// Package safehttp fetches what strangers' URLs name, without being led to what is not theirs.
//
// A service that downloads the URLs it is given can be told to download its own secrets: from its loopback interface, from
// the private network it is in, from the cloud's metadata address. Names are no protection, since a name may lead to any
// address, and to another one a second later. So here the address is looked at where the connection is made, after the
// name has been resolved, for every hop of a chain of redirects. Sizes, times, types and redirects are bounded too.
package safehttp
