// An issuer with a path (RFC 8414 §3.1), which ISSUER names: the metadata are found behind the well-known name.

import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'

const issuer = new URL(process.env.ISSUER)
const options = { algorithm: 'oauth2', [oauth.allowInsecureRequests]: true }
const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, options))
assert.equal(server.token_endpoint, `${process.env.ISSUER}/api/v1/token`)
const config = await openid.discovery(
  issuer, 'client', undefined, undefined, { algorithm: 'oauth2', execute: [openid.allowInsecureRequests] })
assert.equal(config.serverMetadata().issuer, process.env.ISSUER)
console.log('  oauth4webapi, openid-client: metadata of an issuer with a path')
