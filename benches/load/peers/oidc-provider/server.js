// oidc-provider, as little of it as issues client credentials tokens: clients in memory with their secrets in plain text,
// RS256 JWTs. It reads no database and hashes nothing.
import { Provider } from 'oidc-provider';
import crypto from 'node:crypto';
import fs from 'node:fs';

const port = Number(process.env.PORT);
const jwk = crypto.createPrivateKey(fs.readFileSync(process.env.JWT_KEY_FILE)).export({ format: 'jwk' });
const clients = fs.readFileSync(process.env.CLIENTS_FILE, 'utf8').trim().split('\n').map((l) => {
  const [client_id, client_secret] = l.split(' ');
  return {
    client_id, client_secret, grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
    token_endpoint_auth_method: 'client_secret_post',
  };
});
const resource = 'https://api.example.test';
const provider = new Provider(process.env.ISSUER, {
  clients,
  jwks: { keys: [{ ...jwk, use: 'sig', alg: 'RS256', kid: 'k1' }] },
  scopes: ['agents:read'],
  routes: { token: '/api/v1/token' },
  ttl: { ClientCredentials: 3600 },
  cookies: { keys: ['measurement-only'] },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      getResourceServerInfo: () => ({
        scope: 'agents:read', accessTokenFormat: 'jwt', accessTokenTTL: 3600, jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
});
provider.on('server_error', (_ctx, err) => console.error(err.message));
provider.listen(port, '127.0.0.1');
