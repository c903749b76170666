// Compresses and unpacks with the npm package sparkplug-client, whose envelope is Eclipse Tahu's.
// Standard input: {"payload": payload, "options": {...}}; standard output: the message's bytes as hex.
const { newClient } = require("sparkplug-client");

const { payload, options } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const client = newClient({
  serverUrl: "mqtt://127.0.0.1:1",
  username: "",
  password: "",
  groupId: "g",
  edgeNode: "e",
  clientId: "e",
  version: "spBv1.0",
});
client.on("error", () => {});
const bytes = client.encodePayload(client.maybeCompressPayload(payload, options));
process.stdout.write(Buffer.from(bytes).toString("hex"), () => process.exit());
