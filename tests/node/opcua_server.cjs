// An OPC UA server made with the npm package node-opcua-server, which shares no code with the hub.
// Arguments: port, folder for its certificates. It offers SecurityPolicy None and the three current
// ones, Sign and SignAndEncrypt, to anybody, to the user "engineer" and to any user certificate.
// Standard input, JSON a line, each answered by a line of standard output, in order:
//   {"set": node, "value", "status"?: name, "at_ms"?}   {"get": node}
//   {"count": period_ms}: the node Counter goes up from now on, 0 stops it
//   {"counted": true}: [[value, at_ms], ...] since the start    {"sessions": true}: who is here
//   {"restart": {node: value, ...}, "is_first"}: end, and begin anew with these values; the plant's
//     namespace then comes before that of the decoy, whose nodes have the same names, or after it
const path = require("node:path");
console.log = console.warn = console.info = console.error; // standard output is for answers

const [port, folder] = process.argv.slice(2);
const need = (name) => require(`node-opcua-${name}`);
const { OPCUAServer } = need("server");
const { OPCUACertificateManager } = need("certificate-manager");
const { MessageSecurityMode, SecurityPolicy } = need("secure-channel");
const { DataType, Variant, VariantArrayType } = need("variant");
const { StatusCodes } = need("status-code");
const { coerceLocalizedText } = need("data-model");
const { standardUnits } = need("data-access");
const { nodesets } = need("nodesets");

const URI = "urn:foreign:plant";
const HISTORY_MAX = 100_000;
const SCALARS = {
  Boolean: true, SByte: -128, Byte: 255, Int16: -32768, UInt16: 65535, Int32: -2147483648,
  UInt32: 4294967295, Int64: "-9007199254740991", UInt64: "18446744073709551615",
  Float: 71.3, Double: 0.1, String: "Größe ✓", DateTime: new Date(1765432100123),
  Guid: "72962B91-FA75-4AE6-8D28-B404DC7DAF63", ByteString: Buffer.from("00ff", "hex"),
  LocalizedText: coerceLocalizedText("bereit"),
};
const WELD = {
  current: 8.5, program: 7, passed: true, lot: "LOT-1", codes: [3, -4],
  limits: { low: 8, high: 9 },
};

const store = (name) => new OPCUACertificateManager({
  rootFolder: path.join(folder, name), automaticallyAcceptUnknownCertificate: true,
  disableFileWatchers: true,
});
const newServer = (models) => new OPCUAServer({
  port: Number(port), host: "127.0.0.1", hostname: "127.0.0.1", alternateHostname: "localhost",
  nodesets: [
    nodesets.standard, ...models.map((name) => path.join(__dirname, `${name}.NodeSet2.xml`)),
  ],
  serverCertificateManager: store("own"), userCertificateManager: store("users"),
  serverInfo: { applicationUri: "urn:foreign:plc" },
  securityModes: [
    MessageSecurityMode.None, MessageSecurityMode.Sign, MessageSecurityMode.SignAndEncrypt,
  ],
  securityPolicies: [
    SecurityPolicy.None, SecurityPolicy.Basic256Sha256,
    SecurityPolicy.Aes128_Sha256_RsaOaep, SecurityPolicy.Aes256_Sha256_RsaPss,
  ],
  userManager: { isValidUser: (user, password) => user === "engineer" && password === "b3nch" },
  serverCapabilities: { maxSessions: 100, minSupportedSampleRate: 50 },
  maxConnectionsPerEndpoint: 100,
});

let server;
const variables = {};
let namespace;
// node-opcua keeps a 64 bit integer as two halves.
const halves = (text) => {
  const whole = BigInt.asUintN(64, BigInt(text));
  return [Number(whole >> 32n), Number(whole & 0xffffffffn)];
};
const variant = (type, value) => new Variant({
  dataType: DataType[type],
  arrayType: Array.isArray(value) ? VariantArrayType.Array : VariantArrayType.Scalar,
  value: type.endsWith("Int64") ? halves(value)
    : type === "ExtensionObject" ? weld(value) : value,
});
const typeOf = (name) => namespace.addressSpace.findDataType(name, namespace.index);
const weld = (fields) => {
  const { addressSpace } = namespace;
  const limits = addressSpace.constructExtensionObject(typeOf("Limits"), fields.limits);
  return addressSpace.constructExtensionObject(typeOf("Weld"), { ...fields, limits });
};
const common = (name) => ({
  browseName: name, nodeId: `s=${name}`, minimumSamplingInterval: 50,
  organizedBy: namespace.addressSpace.rootFolder.objects,
});
const add = (name, type, value, more = {}) => {
  const dataType = type === "ExtensionObject" ? typeOf("Weld") : type;
  const node = namespace.addVariable({ ...common(name), dataType, ...more });
  node.setValueFromSource(variant(type, value));
  variables[name] = { node, type };
  return node;
};

const build = () => {
  namespace = server.engine.addressSpace.getNamespace(URI);
  for (const [type, value] of Object.entries(SCALARS)) add(type, type, value);
  add("Array", "Double", [1.5, -2.5, 3.5], { valueRank: 1 });
  add("Weld", "ExtensionObject", WELD);
  add("Writable", "Double", 1);
  add("Recipe", "String", "A");
  add("Pieces", "Int32", 1);
  add("Locked", "Double", 1, { accessLevel: "CurrentRead", userAccessLevel: "CurrentRead" });
  variables.SetPoint = {
    type: "Double",
    node: namespace.addAnalogDataItem({
      ...common("SetPoint"), dataType: "Double", value: variant("Double", 61),
      engineeringUnits: standardUnits.degree_celsius,
      engineeringUnitsRange: { low: 20, high: 90 }, instrumentRange: { low: 0, high: 120 },
    }),
  };
  const counter = add("Counter", "UInt32", 0);
  server.engine.addressSpace.installHistoricalDataNode(counter, { maxOnlineValues: HISTORY_MAX });
};

const counted = [];
let counting;
const step = () => {
  const at = new Date();
  counted.push([counted.length + 1, at.getTime()]);
  const value = variant("UInt32", counted.length);
  variables.Counter.node.setValueFromSource(value, StatusCodes.Good, at);
};
// Several short waits make a period: a process that was stalled still samples every count.
const WAITS = 4;
const count = (periodMs, wait = 1) => {
  counting = setTimeout(() => {
    if (wait === WAITS) step();
    count(periodMs, wait % WAITS + 1);
  }, periodMs / WAITS);
};
const orders = {
  set: ({ set, value, status = "Good", at_ms = Date.now() }) => {
    const { node, type } = variables[set];
    node.setValueFromSource(variant(type, value), StatusCodes[status], new Date(at_ms));
    return {};
  },
  get: ({ get }) => {
    const { value, statusCode } = variables[get].node.readValue();
    return { value: value.value, type: DataType[value.dataType], status: statusCode.name };
  },
  count: (order) => {
    clearTimeout(counting);
    if (order.count) count(order.count);
    return {};
  },
  counted: () => ({ counted }),
  restart: async ({ restart, is_first }) => {
    await server.shutdown(0);
    await start(is_first ? ["plant", "decoy"] : ["decoy", "plant"], restart);
    return {};
  },
  sessions: () => ({
    sessions: Object.values(server.engine._sessions).map((session) => ({
      policy: session.channel?.securityPolicy.split("#")[1],
      mode: MessageSecurityMode[session.channel?.securityMode],
      identity: session.userIdentityToken?.constructor.name,
      user: session.userIdentityToken?.userName ?? null,
    })),
  }),
};
const tell = (what) => process.stdout.write(JSON.stringify(what) + "\n");

const start = async (models, values = {}) => {
  server = newServer(models);
  await server.serverCertificateManager.initialize();
  await server.initialize();
  build();
  for (const [name, value] of Object.entries(values)) orders.set({ set: name, value });
  if (models.includes("decoy")) {
    const decoy = server.engine.addressSpace.getNamespace("urn:foreign:decoy");
    for (const name of Object.keys(values)) {
      const node = decoy.addVariable({ ...common(name), dataType: "Double" });
      node.setValueFromSource(variant("Double", -1));
    }
  }
  await server.start();
};

(async () => {
  await start(["plant"]);
  tell({ port: Number(port), certificate: server.certificateFile });
  const lines = require("node:readline").createInterface({ input: process.stdin });
  for await (const line of lines) {
    const order = JSON.parse(line);
    const [word] = Object.keys(order);
    tell(await orders[word](order));
  }
  process.exit(0);
})();
