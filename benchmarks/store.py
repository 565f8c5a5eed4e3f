"""A real S3 store on loopback for the suite s3: versitygw over a folder of its
own, with shards of photos as large as is usual for reading over networks and
shards of thumbnails."""
import os, pathlib, socket, subprocess, time

BUCKET = "shards"
COPIES = 8  # of the sample of photos, which is smaller than one such shard


class Store:
    def __init__(self, clpipe, versitygw, s3bare, data, scratch):
        self.scratch = pathlib.Path(scratch)
        root, sidecar = self.folder("root"), self.folder("sidecar")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self.environment = {"AWS_ENDPOINT_URL_S3": f"http://{address}", "AWS_ACCESS_KEY_ID": "user", "AWS_SECRET_ACCESS_KEY": "secret",
                            "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
        self.log = open(self.scratch / "log", "w")
        self.process = subprocess.Popen([versitygw, "--port", address, "posix", "--sidecar", sidecar, root], stdout=self.log, stderr=self.log,
                                        env={**os.environ, "ROOT_ACCESS_KEY": "user", "ROOT_SECRET_KEY": "secret"})
        try:
            self.wait(address)
            photos = self.photos(clpipe, data)
            thumbnails = self.folder("thumbnails")
            for shard in sorted((data / "cifar10").glob("train-*.tar")):
                (thumbnails / shard.name).symlink_to(shard)
            self.bytes = {}  # by prefix
            for folder in (photos, thumbnails):
                put = subprocess.run([s3bare, "-put", folder, "-bucket", BUCKET, "-prefix", folder.name + "/"], check=True, stdout=subprocess.PIPE,
                                     env={**os.environ, **self.environment})
                self.bytes[folder.name] = int(put.stdout)
        except BaseException:
            self.close()
            raise

    def folder(self, name):
        path = self.scratch / name
        path.mkdir()
        return path

    def wait(self, address):
        """Waits until the store takes connections."""
        host, port = address.split(":")
        for _ in range(100):
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("versitygw does not start: " + (self.scratch / "log").read_text())

    def photos(self, clpipe, data):
        """Packs shards of 64 MiB, several times the same photos."""
        copies, packed = self.folder("copies"), self.folder("photos")
        for n in range(COPIES):
            (copies / str(n)).mkdir()
            for shard in (data / "imagenet-sample").glob("train-*.tar"):
                (copies / str(n) / shard.name).symlink_to(shard)
        subprocess.run([clpipe, "shards", "pack", "--src", copies, "--max-bytes", "64MiB", "-o", packed / "%06d.tar", "--quiet"],
                       check=True, stdout=subprocess.DEVNULL)
        (packed / "SHA256SUMS").unlink()
        return packed

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()
