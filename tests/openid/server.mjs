// An OpenID provider for the tests: npm `oidc-provider`, with people and clients that a test sets.
// Started by tests/src/openid_provider.rs, which hands over the settings as the first argument and
// reads the address from the first line of the output. It ends when its input does.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const settings = JSON.parse(process.argv[2]);
const people = new Map(settings.people.map((person) => [person.login, person]));

// All that the provider keeps, so that it outlives a change of keys.
const stored = new Map();
const grantable = new Set(['AccessToken', 'AuthorizationCode', 'RefreshToken']);

class Memory {
  constructor(model) {
    this.model = model;
  }

  #key(id) {
    return `${this.model}:${id}`;
  }

  async upsert(id, payload, seconds) {
    const ends = seconds ? Date.now() + seconds * 1000 : Infinity;
    stored.set(this.#key(id), { model: this.model, payload: { ...payload }, ends });
  }

  async find(id) {
    const entry = stored.get(this.#key(id));
    return entry && entry.ends > Date.now() ? entry.payload : undefined;
  }

  async findByUid(uid) {
    return this.#all().find((payload) => payload.uid === uid);
  }

  async findByUserCode() {
    return undefined;
  }

  async consume(id) {
    const payload = await this.find(id);
    if (payload) payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    stored.delete(this.#key(id));
  }

  async revokeByGrantId(grantId) {
    for (const [key, { model, payload }] of stored) {
      if (grantable.has(model) && payload.grantId === grantId) stored.delete(key);
    }
  }

  #all() {
    return [...stored.values()]
      .filter(({ model, ends }) => model === this.model && ends > Date.now())
      .map(({ payload }) => payload);
  }
}

const client = {
  client_id: settings.client_id,
  client_secret: settings.client_secret,
  redirect_uris: settings.redirect_uris,
  post_logout_redirect_uris: [],
  grant_types: settings.refresh_tokens
    ? ['authorization_code', 'refresh_token']
    : ['authorization_code'],
  response_types: ['code'],
  token_endpoint_auth_method: 'client_secret_basic',
};

async function account(_, login) {
  const person = people.get(login);
  if (!person) return undefined;
  return { accountId: login, claims: async () => ({ ...person.claims, sub: person.sub }) };
}

// Accounts are known by login here, and called by their subject in tokens.
function subject(login) {
  return people.get(login)?.sub ?? login;
}

function makeProvider(issuer) {
  const { privateKey } = generateKeyPairSync(settings.key_type, settings.key_options);
  const kid = randomBytes(8).toString('hex');
  const jwk = { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: settings.algorithm };
  const provider = new Provider(issuer, {
    adapter: Memory,
    clientDefaults: { id_token_signed_response_alg: settings.algorithm },
    jwks: { keys: [jwk] },
    cookies: { keys: [cookieKey] },
    claims: { openid: ['sub', ...settings.claims] },
    conformIdTokenClaims: settings.claims_in_user_info_only,
    scopes: ['openid', 'offline_access', 'profile', 'email', 'groups'],
    findAccount: account,
    issueRefreshToken: async (_, found) => found.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: true,
    pkce: { required: () => true, methods: ['S256'] },
    ttl: {
      AccessToken: settings.access_token_seconds,
      IdToken: settings.id_token_seconds,
      AuthorizationCode: 60,
      Interaction: 600,
      Session: 3600,
      Grant: 3600,
      RefreshToken: 3600,
    },
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: async (ctx, form) => {
          ctx.body = page('Sign out', `${form}<button form="op.logoutForm" name="logout" value="yes">Sign out</button>`);
        },
        postLogoutSuccessSource: async (ctx) => {
          ctx.body = page('Signed out', '<p id="signed-out">You are signed out.</p>');
        },
      },
      userinfo: { enabled: settings.user_info },
    },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    // Nobody is asked whether Drover may know them, unless the request says so.
    loadExistingGrant: async (ctx) => {
      const { Grant } = ctx.oidc.provider;
      const grant = new Grant({
        clientId: ctx.oidc.client.clientId,
        accountId: ctx.oidc.session.accountId,
      });
      grant.addOIDCScope('openid offline_access profile email groups');
      await grant.save();
      return grant;
    },
  });
  provider.on('server_error', (_, error) => console.error(error));
  provider.on('backchannel.error', (_, error) => console.error(error));
  return provider;
}

function page(title, body) {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><body><h1>${title}</h1>${body}</body></html>`;
}

const loginPage = (wrong) => page('Sign in', `
  <form method="post">
    ${wrong ? '<p id="wrong">Wrong login or password.</p>' : ''}
    <label>Login <input name="login" autocomplete="username" autofocus></label>
    <label>Password <input name="password" type="password" autocomplete="current-password"></label>
    <button name="answer" value="sign-in">Sign in</button>
    <button name="answer" value="cancel">Cancel</button>
  </form>`);

const consentPage = () => page('Allow', `
  <form method="post">
    <button name="answer" value="allow">Allow</button>
    <button name="answer" value="cancel">Cancel</button>
  </form>`);

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}

async function interaction(request, response) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(request, response);
  const show = (text) => response.setHeader('content-type', 'text/html; charset=utf-8').end(text);
  const finish = (result) => provider.interactionFinished(
    request,
    response,
    result,
    { mergeWithLastSubmission: !result.error },
  );
  if (request.method !== 'POST') {
    return show(prompt.name === 'login' ? loginPage(false) : consentPage());
  }
  const form = new URLSearchParams(await body(request));
  if (form.get('answer') === 'cancel') {
    return finish({ error: 'access_denied', error_description: 'The person has cancelled.' });
  }
  if (prompt.name === 'login') {
    const person = people.get(form.get('login'));
    if (!person || person.password !== form.get('password')) return show(loginPage(true));
    return finish({ login: { accountId: person.login } });
  }
  const grant = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope('openid offline_access profile email groups');
  return finish({ consent: { grantId: await grant.save() } });
}

// What the test tells the provider to do.
async function control(path, given) {
  switch (path) {
    case '/control/client':
      Object.assign(client, given);
      await new Memory('Client').upsert(client.client_id, client);
      return;
    case '/control/keys':
      provider = makeProvider(issuer);
      return;
    case '/control/person':
      people.set(given.login, given);
      return;
    case '/control/gone':
      people.delete(given.login);
      return;
    case '/control/sign-out': {
      // As an administrator of the provider ends somebody's sessions.
      const found = await provider.Client.find(client.client_id);
      for (const [key, { model, payload }] of [...stored]) {
        if (model !== 'Session' || payload.accountId !== given.login) continue;
        const { sid } = payload.authorizations?.[client.client_id] ?? {};
        await found.backchannelLogout(subject(given.login), sid);
        stored.delete(key);
      }
      return;
    }
    default:
      throw new Error(`no such control: ${path}`);
  }
}

const cookieKey = randomBytes(16).toString('hex');
let provider;
let issuer;

const server = createServer(async (request, response) => {
  const { pathname } = new URL(request.url, issuer);
  try {
    if (pathname.startsWith('/control/')) {
      await control(pathname, JSON.parse(await body(request)));
      response.writeHead(204).end();
    } else if (pathname.startsWith('/interaction/')) {
      await interaction(request, response);
    } else {
      provider.callback()(request, response);
    }
  } catch (error) {
    console.error(error);
    response.writeHead(500).end(String(error));
  }
});

server.listen(settings.port, '127.0.0.1', async () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  provider = makeProvider(issuer);
  await new Memory('Client').upsert(client.client_id, client);
  console.log(issuer);
});
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
