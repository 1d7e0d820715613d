// Serves tokens by client credentials, and by people's signing in for the page whose address is the argument, on a port
// of loopback, which it prints. Its keys are made anew at each start. Its own forms take any name and password.
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const audience = "urn:order-processing";
const page = process.argv[2];
const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://localhost:${server.address().port}`;
  const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" });
  const provider = new Provider(issuer, {
    jwks: { keys: [{ ...key, alg: "ES256", use: "sig", kid: "certified" }] },
    clients: [
      {
        client_id: "web-shop",
        client_secret: "a secret of the test",
        grant_types: ["client_credentials"],
        redirect_uris: [],
        response_types: [],
        id_token_signed_response_alg: "ES256",
      },
      {
        client_id: "the-page",
        token_endpoint_auth_method: "none",
        redirect_uris: [page],
        post_logout_redirect_uris: [page],
        id_token_signed_response_alg: "ES256",
      },
    ],
    clientBasedCORS: (_, origin) => page.startsWith(origin),
    features: {
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          audience,
          scope: "",
          accessTokenFormat: "jwt",
          accessTokenTTL: 600,
          jwt: { sign: { alg: "ES256" } },
        }),
      },
    },
    extraTokenClaims: (_, token) => ({ roles: [token.kind === "AccessToken" ? "staff" : "service"] }),
  });
  server.on("request", provider.callback());
  console.log(issuer);
});
