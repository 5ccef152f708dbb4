// npm oidc-provider as tests need it: one person, who is let in at once; machines that prove a key and get bound tokens.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [modules, port, redirect, machineKey] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const { default: Provider } = await import(pathToFileURL(require.resolve('oidc-provider')));

const issuer = `http://127.0.0.1:${port}`;
const provider = new Provider(issuer, {
  clients: [
    { client_id: 'noriai', client_secret: 'a secret', redirect_uris: [redirect], grant_types: ['authorization_code'],
      response_types: ['code'], token_endpoint_auth_method: 'client_secret_basic' },
    { client_id: 'av-7', grant_types: ['client_credentials'], response_types: [], redirect_uris: [],
      token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256',
      jwks: { keys: [JSON.parse(machineKey)] }, dpop_bound_access_tokens: true },
  ],
  claims: { openid: ['sub'] },
  pkce: { required: () => true },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    dPoP: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:noriai',
      getResourceServerInfo: () => ({ scope: '', audience: 'urn:noriai', accessTokenFormat: 'jwt', accessTokenTTL: 300,
        jwt: { sign: { alg: 'RS256' } } }),
    },
  },
  interactions: { url: (ctx, interaction) => `/enter/${interaction.uid}` },
  cookies: { keys: ['only for tests'] },
});

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/enter/')) return next();
  const { params } = await provider.interactionDetails(ctx.req, ctx.res);
  const grant = new provider.Grant({ accountId: 'user-1', clientId: params.client_id });
  grant.addOIDCScope('openid');
  const grantId = await grant.save();
  const result = { login: { accountId: 'user-1' }, consent: { grantId } };
  await provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: false });
});

provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
