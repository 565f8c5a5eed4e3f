// Reads pairs in JavaScript.
//
//   npm install
//   clpipe augment --src s3shards/ | node read_pairs.js
import { RecordBatchReader } from "apache-arrow";

const reader = await RecordBatchReader.from(process.stdin);
await reader.open();
console.log(reader.schema.metadata.get("clpipe.schema"));
let pairs = 0, sum = 0, values = 0;
for await (const batch of reader) {
  const column = batch.getChild("anchor"); // its field's metadata tells the shape
  const pixels = column.data[0].children[0].values; // Uint8Array, [N,S,S,3] in rows of RGB
  for (const p of pixels) sum += p;
  values += pixels.length;
  pairs += batch.numRows;
}
console.log(`${pairs} pairs, mean ${(sum / values).toFixed(1)}`);
