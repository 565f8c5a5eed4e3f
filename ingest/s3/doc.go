// Package s3 reads objects of Amazon S3 and of stores that speak its protocol:
// s3://bucket/prefix is read like a directory, s3://bucket/path/train.tar like a
// file, and brace patterns and globs are matched against the keys.
//
// Credentials, region and endpoint come from where the AWS command line takes
// them: the environment (AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_REGION,
// AWS_ENDPOINT_URL_S3 …), the shared files, single sign-on, web identity,
// container and instance. They are renewed when they run out. With an endpoint
// of one's own the bucket stands in the path of addresses, not in the host. A
// bucket in another region is found there.
package s3
