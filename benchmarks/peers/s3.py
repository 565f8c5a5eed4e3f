"""Shards of an S3 store, read over and over by one program: clpipe, which takes
them apart, shuffles their samples and makes records of them, or a client that
drops what it reads. The store is that of the AWS environment variables."""
import argparse, concurrent.futures, subprocess

import worker

CONNECTIONS = 8  # as many shards as clpipe reads at once


def boto3_get(bucket, prefix, epochs):
    """Reads every object in blocks of a MiB, a thread an object; returns bytes."""
    import boto3, botocore.config
    client = boto3.client("s3", config=botocore.config.Config(max_pool_connections=CONNECTIONS, s3={"addressing_style": "path"}))
    keys = [o["Key"] for o in client.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]]

    def drain(key):
        return sum(map(len, client.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(1 << 20)))

    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        return sum(pool.map(drain, keys * epochs))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--by", choices=["clpipe", "sdk", "boto3"], required=True)
    p.add_argument("--binary", help="clpipe or s3bare")
    p.add_argument("--bucket", default="shards")
    p.add_argument("--prefix", required=True)
    p.add_argument("--epochs", type=int, default=8, help="of a run, so that the start of a process does not count")
    p.add_argument("--keep", type=int, default=0, help="MiB that sdk keeps of what it has read")
    p.add_argument("--bytes", type=int, required=True, help="of the objects together")
    a = p.parse_args()
    run = lambda *command: subprocess.run([a.binary, *map(str, command)], check=True, stdout=subprocess.DEVNULL)
    f = {
        "clpipe": lambda: run("ingest", "--src", f"s3://{a.bucket}/{a.prefix}", "--epochs", a.epochs, "--interleave", CONNECTIONS,
                               "--workers", a.threads, "--encoded", "-o", "/dev/null", "--quiet"),
        "sdk": lambda: run("-bucket", a.bucket, "-prefix", a.prefix, "-connections", CONNECTIONS, "-epochs", a.epochs, "-keep", a.keep),
        "boto3": lambda: boto3_get(a.bucket, a.prefix, a.epochs),
    }[a.by]
    worker.serve([("total", a.epochs * a.bytes / 1e6, f)])


if __name__ == "__main__":
    main()
