// openid-client, oauth4webapi and jose against a server, whose address and client the environment names.

import assert from 'node:assert/strict'
import * as jose from 'jose'
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'

const { ISSUER, CLIENT_ID, CLIENT_SECRET, PROFILE } = process.env
const RESOURCE = 'https://api.example/mcp'
const insecure = { [oauth.allowInsecureRequests]: true }

const said = (what) => console.log(`  ${what}`)

// --- openid-client: a client ---

const methods = { basic: openid.ClientSecretBasic, body: openid.ClientSecretPost }
for (const [name, method] of Object.entries(methods)) {
  const options = { algorithm: 'oauth2', execute: [openid.allowInsecureRequests] }
  const config = await openid.discovery(new URL(ISSUER), CLIENT_ID, undefined, method(CLIENT_SECRET), options)
  const granted = await openid.clientCredentialsGrant(config, { scope: 'agents:read tokens:read', resource: RESOURCE })
  assert.deepEqual([granted.token_type, granted.expires_in, granted.scope], ['bearer', 3600, 'agents:read tokens:read'])

  const known = await openid.tokenIntrospection(config, granted.access_token)
  assert.deepEqual([known.active, known.client_id, known.iss], [true, CLIENT_ID, ISSUER])
  assert.equal((await openid.tokenIntrospection(config, 'no.such.token')).active, false)
  await openid.tokenRevocation(config, granted.access_token)
  assert.deepEqual(await openid.tokenIntrospection(config, granted.access_token), { active: false })

  const wrong = await openid.discovery(new URL(ISSUER), CLIENT_ID, undefined, method('sk_live_wrong'), options)
  for (const ask of [openid.clientCredentialsGrant, openid.tokenIntrospection, openid.tokenRevocation]) {
    const about = ask === openid.clientCredentialsGrant ? {} : granted.access_token
    // By Basic the answer has to carry a challenge, which the library reads instead of the body (RFC 6749 §5.2).
    await assert.rejects(ask(wrong, about), (e) => e.error === 'invalid_client' || e.cause?.[0]?.scheme === 'basic')
  }
  await assert.rejects(openid.clientCredentialsGrant(config, { resource: 'not a URI' }), { error: 'invalid_target' })
  await assert.rejects(openid.clientCredentialsGrant(config, { scope: 'everything' }), { error: 'invalid_scope' })
  said(`openid-client, ${name}: discovery, token, introspection, revocation, refusals`)
}

// --- oauth4webapi: a client by hand, and a resource server ---

const issuer = new URL(ISSUER)
const server = await oauth.processDiscoveryResponse(
  issuer, await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure }))
const client = { client_id: CLIENT_ID }
const proof = oauth.ClientSecretBasic(CLIENT_SECRET)
const token = async (parameters) => (await oauth.processClientCredentialsResponse(server, client,
  await oauth.clientCredentialsGrantRequest(server, client, proof, parameters, insecure))).access_token
const forUs = await token({ resource: RESOURCE })

const request = (bearer) => new Request(RESOURCE, { headers: { authorization: `Bearer ${bearer}` } })
const validate = (token, audience) => oauth.validateJwtAccessToken(server, request(token), audience, insecure)
if (PROFILE === 'rfc9068') {
  const claims = await validate(forUs, RESOURCE)
  assert.deepEqual([claims.sub, claims.client_id, claims.aud], [CLIENT_ID, CLIENT_ID, RESOURCE])
  const forServer = await validate(await token({}), ISSUER)
  assert.equal(forServer.aud, ISSUER)
  await assert.rejects(validate(forUs, 'https://other.example/'))
  said('oauth4webapi: a token is one of RFC 9068, and for its resource only')
} else {
  await assert.rejects(validate(forUs, RESOURCE)) // its `typ` is JWT, as documented clients know it
  said('oauth4webapi: discovery, token')
}

// --- jose: a resource server ---

const keys = jose.createRemoteJWKSet(new URL(server.jwks_uri))
const typ = PROFILE === 'rfc9068' ? 'at+jwt' : 'JWT'
const { payload } = await jose.jwtVerify(forUs, keys, { issuer: ISSUER, audience: RESOURCE, typ })
assert.equal(payload.sub, CLIENT_ID)
const elsewhere = { issuer: ISSUER, audience: 'https://other.example/' }
await assert.rejects(jose.jwtVerify(forUs, keys, elsewhere), { code: 'ERR_JWT_CLAIM_VALIDATION_FAILED' })
const [head, body, signature] = forUs.split('.')
await assert.rejects(jose.jwtVerify([head, body, signature.split('').reverse().join('')].join('.'), keys))
said('jose: keys, signature, issuer, audience')
