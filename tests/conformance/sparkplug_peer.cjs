// Encodes and decodes with the npm package sparkplug-payload, which shares no code with the hub.
// Standard input: {"encode": payload} or {"decode": hex}; standard output: hex or payload.
// 64 bit numbers travel as {"long": "..."}, bytes as {"hex": "..."}.
const Long = require("long");
const codec = require("sparkplug-payload").get("spBv1.0");

const revive = (_key, value) => {
  if (value && typeof value.long === "string") return Long.fromString(value.long, !value.long.startsWith("-"));
  if (value && typeof value.hex === "string") return Buffer.from(value.hex, "hex");
  return value;
};

const plain = (value) => {
  if (Long.isLong(value)) return { long: value.toString() };
  if (value instanceof Uint8Array) return { hex: Buffer.from(value).toString("hex") };
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
  return value;
};

const request = JSON.parse(require("fs").readFileSync(0, "utf8"), revive);
const reply = request.encode
  ? Buffer.from(codec.encodePayload(request.encode)).toString("hex")
  : plain(codec.decodePayload(Buffer.from(request.decode, "hex")));
process.stdout.write(JSON.stringify(reply));
