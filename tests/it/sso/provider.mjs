// A login service that is not ours (npm's oidc-provider), which a test tells who logs in and how it is to lie.
// Usage: CLIENT_SECRET=… node provider.mjs RETURN_TO; prints its address once it listens.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(pathToFileURL(`${process.cwd()}/`));
const load = async (name) => import(pathToFileURL(require.resolve(name)));
const { default: Provider } = await load('oidc-provider');
const jose = await load('jose');

const [returnTo] = process.argv.slice(2);
const secret = process.env.CLIENT_SECRET;
const pairOf = async (alg, kid) => {
  const { privateKey, publicKey } = await jose.generateKeyPair(alg, { extractable: true });
  const jwk = { ...(await jose.exportJWK(privateKey)), kid, alg, use: 'sig' };
  return { jwk, privateKey, publicKey };
};
const keys = { RS256: await pairOf('RS256', 'rsa'), ES256: await pairOf('ES256', 'ec') };
const foreign = await pairOf('RS256', 'rsa');

let person = { sub: 'ada' };
let lie = '';

async function spoiled(token) {
  const header = jose.decodeProtectedHeader(token);
  const claims = jose.decodeJwt(token);
  const now = Math.floor(Date.now() / 1000);
  let { alg, kid } = header;
  let key = keys[alg].privateKey;
  switch (lie) {
    case 'nonce': claims.nonce = 'another'; break;
    case 'no nonce': delete claims.nonce; break;
    case 'audience': claims.aud = 'somebody-else'; break;
    case 'issuer': claims.iss = 'https://elsewhere.example'; break;
    case 'expired': claims.iat = now - 7200; claims.exp = now - 3600; break;
    case 'long ago': claims.auth_time = now - 3600; break;
    case 'not said when': delete claims.auth_time; break;
    case 'unknown key': key = foreign.privateKey; kid = 'another'; break;
    case 'wrong key': key = foreign.privateKey; break;
    case 'shared secret': key = new TextEncoder().encode(secret); alg = 'HS256'; kid = undefined; break;
    case 'unsigned': return new jose.UnsecuredJWT(claims).encode();
    case 'altered': return token.replace(/\.([^.]*)\./, (_, body) => {
      const text = JSON.parse(Buffer.from(body, 'base64url'));
      return `.${Buffer.from(JSON.stringify({ ...text, sub: 'root' })).toString('base64url')}.`;
    });
  }
  return new jose.SignJWT(claims).setProtectedHeader({ alg, kid }).sign(key);
}

const server = createServer((request, response) => handle(request, response));
server.listen(0, '127.0.0.1', () => console.log(issuer()));
const issuer = () => `http://127.0.0.1:${server.address().port}`;
await new Promise((listening) => server.once('listening', listening));

const client = { redirect_uris: [returnTo], grant_types: ['authorization_code'], response_types: ['code'] };
const provider = new Provider(issuer(), {
  clients: [
    { ...client, client_id: 'holdfast', client_secret: secret },
    { ...client, client_id: 'public', token_endpoint_auth_method: 'none', id_token_signed_response_alg: 'ES256' },
  ],
  jwks: { keys: Object.values(keys).map(({ jwk }) => jwk) },
  cookies: { keys: ['of no use to anybody'] },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['preferred_username'], groups: ['groups'] },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ ...person, sub }) }),
});
provider.use(async (ctx, next) => {
  if (ctx.path === '/control') {
    person = JSON.parse(ctx.query.person);
    lie = ctx.query.lie;
    ctx.body = 'ok';
  } else if (ctx.path.startsWith('/interaction/')) {
    const { params } = await provider.interactionDetails(ctx.req, ctx.res);
    if (lie === 'refused') {
      await provider.interactionFinished(ctx.req, ctx.res, { error: 'access_denied' });
    } else {
      const grant = new provider.Grant({ accountId: person.sub, clientId: params.client_id });
      grant.addOIDCScope(params.scope);
      const consent = { grantId: await grant.save() };
      await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: person.sub }, consent });
    }
    ctx.respond = false;
  } else {
    await next();
    if (ctx.path === '/token' && lie && ctx.body?.id_token) ctx.body.id_token = await spoiled(ctx.body.id_token);
  }
});
const handle = provider.callback();
