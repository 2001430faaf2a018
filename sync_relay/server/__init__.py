"""The relay: keeps, for each library, its log and its blobs, and can read neither.

settings      what an owner chooses: where things are kept, how much is allowed
tables        the database's tables; migrations/ makes them
database      connections, transactions, and migrating at start
objects       blobs as objects: a local folder or an S3-compatible store, by URL
members       which devices belong to a library, by its signed entries
ledger        positions and quotas: what every addition to a library goes through
sessions      signing in
libraries     invites, founding, quotas, membership entries
log           appending envelopes, pulling, heads
blobs         resumable uploads, downloads, proofs
removal       signed deletes and prune entries, and what is swept when its time has come
mailboxes     pairing
"""
