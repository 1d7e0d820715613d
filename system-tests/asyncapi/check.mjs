// Prints what the parser has to say about the document that is named; exits 1 unless it is nothing.
import { readFileSync } from "node:fs";
import parserModule from "@asyncapi/parser";

const { Parser } = parserModule;
const text = readFileSync(process.argv[2], "utf8");
const { document, diagnostics: all } = await new Parser().parse(text);
// That there is a newer AsyncAPI than the one whose tools are everywhere.
const diagnostics = all.filter(({ code }) => code !== "asyncapi-latest-version");
for (const { severity, path, message } of diagnostics) console.log(severity, path.join("."), message);
console.log(document ? `${document.messages().length} messages, ${document.operations().length} operations` : "no document");
process.exitCode = document && diagnostics.length === 0 ? 0 : 1;
