// The events' AsyncAPI document as AsyncAPI's own component shows it. It is in English only, as the document is.

const document_ = await fetch("/static/asyncapi.json");
const config = { show: { errors: false } };
AsyncApiStandalone.render({ schema: await document_.json(), config }, document.getElementById("asyncapi"));
