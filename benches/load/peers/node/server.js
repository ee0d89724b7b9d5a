// The token endpoint as one writes it with express, pg, bcrypt, node-vault and jsonwebtoken, over this project's tables.
import crypto from 'node:crypto';
import fs from 'node:fs';
import bcrypt from 'bcrypt';
import express from 'express';
import jwt from 'jsonwebtoken';
import vaultFactory from 'node-vault';
import pg from 'pg';

const privateKey = crypto.createPrivateKey(fs.readFileSync(process.env.JWT_KEY_FILE));
const issuer = process.env.ISSUER;
const pool = new pg.Pool({ connectionString: process.env.PGURL, max: 20 });
const vault = vaultFactory({ endpoint: process.env.VAULT_ADDR, token: process.env.VAULT_TOKEN });

async function matches(credential, secret) {
  if (!credential.vault_path) return bcrypt.compare(secret, credential.secret_hash);
  const answer = await vault.read(credential.vault_path);
  const stored = Buffer.from(answer.data.data.clientSecret, 'utf8');
  const given = Buffer.from(secret, 'utf8');
  return stored.length === given.length && crypto.timingSafeEqual(stored, given);
}

async function authenticate(clientId, secret) {
  const agent = (await pool.query('select agent_id, status from agents where agent_id = $1', [clientId])).rows[0];
  if (!agent || agent.status !== 'active') return null;
  const credentials = (await pool.query(
    "select secret_hash, vault_path, expires_at from credentials where client_id = $1 and status = 'active'", [clientId])).rows;
  for (const credential of credentials) {
    if (credential.expires_at && credential.expires_at < new Date()) continue;
    if (await matches(credential, secret)) return agent;
  }
  return null;
}

const app = express();
app.disable('x-powered-by');
app.post('/api/v1/token', express.urlencoded({ extended: false }), async (req, res) => {
  const { grant_type: grantType, client_id: clientId, client_secret: secret, scope = '' } = req.body ?? {};
  if (grantType !== 'client_credentials') return res.status(400).json({ error: 'unsupported_grant_type' });
  if (!clientId || !secret) return res.status(400).json({ error: 'invalid_request' });
  try {
    const agent = await authenticate(clientId, secret);
    if (!agent) return res.status(401).json({ error: 'invalid_client' });
    const token = jwt.sign(
      { sub: agent.agent_id, client_id: agent.agent_id, scope, jti: crypto.randomUUID() },
      privateKey, { algorithm: 'RS256', expiresIn: 3600, issuer, keyid: 'k1' });
    res.set('Cache-Control', 'no-store').set('Pragma', 'no-cache');
    res.json({ access_token: token, token_type: 'Bearer', expires_in: 3600, scope });
  } catch (error) {
    console.error(error.message);
    res.status(500).json({ error: 'server_error' });
  }
});
app.listen(Number(process.env.PORT), '127.0.0.1', 1024);
