// Signing in at the issuer: the authorization code flow with PKCE, as a client that keeps no secret
// (https://datatracker.ietf.org/doc/html/draft-ietf-oauth-browser-based-apps). The token is in this page's memory only.

const PENDING = "sign-in"; // the sign-in under way: its state, its verifier, and the view to come back to
const KNOWN = "signed-in"; // somebody was signed in here, so the issuer may still know them
const JUST_NOW_MS = 30_000;
const REDIRECT_URI = `${location.origin}/`;
const UNKNOWN = ["login_required", "interaction_required", "consent_required", "account_selection_required"];

let login;
let token = null;
let since = 0;
let ended = () => {};

export const headers = () => (token ? { Authorization: `Bearer ${token}` } : {});

const base64url = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

/** The issuer's own description. Throws an Error whose message is a word of the page, as all here do. */
async function issuer() {
  const answer = await fetch(`${login.issuer.replace(/\/$/, "")}/.well-known/openid-configuration`).catch(() => null);
  const found = answer?.ok ? await answer.json() : {};
  if (found.issuer !== login.issuer) throw new Error("issuer-away");
  return found;
}

/** Leaves for the issuer. `prompt`: "none" comes back at once even if nobody is known, "login" always asks. */
export async function signIn(prompt) {
  const { authorization_endpoint } = await issuer();
  const pending = { state: random(), verifier: random(), view: location.hash };
  sessionStorage.setItem(PENDING, JSON.stringify(pending));
  const url = new URL(authorization_endpoint);
  const asked = {
    response_type: "code",
    client_id: login.client_id,
    redirect_uri: REDIRECT_URI,
    scope: "openid",
    state: pending.state,
    code_challenge: base64url(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(pending.verifier))),
    code_challenge_method: "S256",
    ...(prompt && { prompt }),
  };
  Object.entries(asked).forEach(([name, value]) => url.searchParams.set(name, value));
  location.assign(url);
}

/** Takes the token for the code that the issuer has sent along, if this page has asked for it. */
async function comeBack() {
  const answer = new URLSearchParams(location.search);
  if (!answer.has("state")) return;
  const pending = JSON.parse(sessionStorage.getItem(PENDING) ?? "{}");
  sessionStorage.removeItem(PENDING);
  history.replaceState(null, "", "/");
  if (answer.get("state") !== pending.state || (answer.get("iss") ?? login.issuer) !== login.issuer) throw new Error("not-asked");
  if (pending.view) location.replace(pending.view);
  if (UNKNOWN.includes(answer.get("error"))) return;
  if (answer.has("error")) throw new Error(answer.get("error_description") ?? answer.get("error"));
  const { token_endpoint } = await issuer();
  const body = new URLSearchParams({
    grant_type: "authorization_code",
    code: answer.get("code") ?? "",
    redirect_uri: REDIRECT_URI,
    client_id: login.client_id,
    code_verifier: pending.verifier,
  });
  const given = await fetch(token_endpoint, { method: "POST", body }).catch(() => null);
  if (!given?.ok) throw new Error("not-given");
  [token, since] = [(await given.json()).access_token, Date.now()];
}

/** What the server says of signing in, once it answers. */
async function told() {
  for (;;) {
    const answer = await fetch("/api/login").catch(() => null);
    if (answer?.ok) return answer.json();
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

/** Who looks: {open: true} where nobody has to sign in, {name, roles}, or {problem} for who has to. `whenEnded` is told
    the problem if that ends. Never returns if it leaves for the issuer. */
export async function begin(whenEnded) {
  ended = whenEnded;
  try {
    login = await told();
    if (!login.issuer) return { open: true, roles: [] };
    await comeBack();
    if (!token) {
      if (!sessionStorage.getItem(KNOWN)) return {};
      await silently();
    }
    const answer = await fetch("/api/caller", { headers: headers() });
    if (answer.ok) {
      sessionStorage.setItem(KNOWN, "1");
      return await answer.json();
    }
    token = null;
    throw new Error(answer.status === 403 ? "not-staff" : "not-believed");
  } catch (error) {
    return { problem: error.message };
  }
}

/** Asks the issuer once: if it knows nobody either, whoever looks has to say who they are. */
async function silently() {
  sessionStorage.removeItem(KNOWN);
  await signIn("none");
  await new Promise(() => {});
}

/** The server believes the token no longer. A new one that it doesn't believe either is no reason to ask again. */
export function refused() {
  if (!token) return;
  token = null;
  if (Date.now() - since < JUST_NOW_MS) ended("not-believed");
  else silently().catch((error) => ended(error.message));
}

/** Here and at the issuer, if it can. */
export async function signOut() {
  token = null;
  sessionStorage.removeItem(KNOWN);
  ended("");
  const { end_session_endpoint } = await issuer();
  if (!end_session_endpoint) return;
  const url = new URL(end_session_endpoint);
  url.searchParams.set("client_id", login.client_id);
  url.searchParams.set("post_logout_redirect_uri", REDIRECT_URI);
  location.assign(url);
}
