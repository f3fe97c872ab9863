// The pod of `helm test`: calls the service as anybody would. Ends with 1 at the first answer that is not as documented.
import { existsSync, readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { createRequire } from 'node:module';
import { randomUUID } from 'node:crypto';

const { SERVICE_URL, METRICS_URL, CA_FILE, CLIENT_CERTIFICATE_REQUIRED, CLIENT_CERTIFICATE_DIR } =
  process.env;
const { APP_DIR, WORKSPACE } = process.env;

const clientCertificate = CLIENT_CERTIFICATE_DIR && {
  cert: readFileSync(`${CLIENT_CERTIFICATE_DIR}/tls.crt`),
  key: readFileSync(`${CLIENT_CERTIFICATE_DIR}/tls.key`),
};
const authority = CA_FILE && existsSync(CA_FILE) ? { ca: readFileSync(CA_FILE) } : {};

async function call(method, url, { headers = {}, body, certificate = clientCertificate } = {}) {
  const payload = body === undefined ? undefined : JSON.stringify(body);
  const sent = (url.startsWith('https:') ? https : http).request(url, {
    method,
    headers: { ...headers, ...(payload && { 'content-type': 'application/json' }) },
    timeout: 10_000,
    agent: false,
    ...authority,
    ...certificate,
  });
  return new Promise((resolve, reject) => {
    sent.on('timeout', () => sent.destroy(new Error('no answer within 10 s')));
    sent.on('error', reject);
    sent.on('response', (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        resolve({ status: response.statusCode, ...(text.startsWith('{') ? JSON.parse(text) : {}) });
      });
    });
    sent.end(payload);
  });
}

const steps = [];
let cleanUp = async () => undefined;
/** `check` throws, or answers what is not as documented. Answers themselves are never printed: they may hold secrets. */
const step = (name, check) => steps.push({ name, check });
const unless = (right, complaint) => (right ? undefined : complaint);
const post = (path, options) => call('POST', `${SERVICE_URL}/${path}`, { body: {}, ...options });

const healthUrls = [SERVICE_URL, METRICS_URL].filter((url) => url !== undefined);
const mayCall = CLIENT_CERTIFICATE_REQUIRED === undefined || clientCertificate !== undefined;

for (const url of healthUrls.filter((candidate) => mayCall || candidate !== SERVICE_URL)) {
  step(`${url} is alive`, async () => {
    const { status } = await call('GET', `${url}/livez`);
    return unless(status === 200, `HTTP ${status}`);
  });
  step(`${url} is ready: its store answers and the grants are loaded`, async () => {
    const { status, data } = await call('GET', `${url}/readyz`);
    return unless(status === 200, `HTTP ${status}, store: ${data?.store}, grants: ${data?.grants}`);
  });
}

if (CLIENT_CERTIFICATE_REQUIRED !== undefined) {
  step('nobody gets in without a client certificate', async () => {
    const answer = await call('GET', `${SERVICE_URL}/livez`, { certificate: {} }).catch(() => undefined);
    return unless(answer === undefined || answer.status >= 400, `HTTP ${answer?.status}`);
  });
}

if (mayCall) {
  step('an operation without credentials is refused', async () => {
    const { status, code, data } = await post('RetrieveSecret?workspace=helm-test', { body: { name: 'k' } });
    return unless([code, data?.reason].join() === '401,UNAUTHENTICATED', `HTTP ${status}, code ${code}`);
  });
  step('forged credentials are refused', async () => {
    const headers = { 'x-authorization': 'e30.e30.AAAA', 'x-access-token': 'e30.e30.AAAA' };
    const { status, code } = await post('ListSecret?workspace=helm-test', { headers });
    return unless(code === 401, `HTTP ${status}, code ${code}`);
  });
  step('an unknown app gets no access token', async () => {
    const { status, code } = await post('permission/v1alpha1/access', { body: accessRequest('nobody', 'x') });
    return unless(status === 200 && code === 100001, `HTTP ${status}, code ${code}`);
  });
}

function accessRequest(appKey, hash, ops = ['RetrieveSecret?workspace=helm-test']) {
  const perm = { group: 'secret.infisical', dataType: 'secret', version: 'v1', ops };
  return { app_key: appKey, timestamp: Math.floor(Date.now() / 1000), token: hash, perm };
}

if (APP_DIR !== undefined && mayCall) {
  const read = (file) => readFileSync(`${APP_DIR}/${file}`, 'utf8').trim();
  const userToken = existsSync(`${APP_DIR}/user-token`) ? { 'x-authorization': read('user-token') } : {};
  const secret = { name: `helm-test-${randomUUID()}`, value: randomUUID(), env: 'test' };
  const { name, env } = secret;
  let headers = userToken;

  step('the app gets an access token', async () => {
    const bcrypt = createRequire(`${process.cwd()}/`)('bcrypt');
    const ops = ['CreateSecret', 'RetrieveSecret', 'DeleteSecret'].map(
      (op) => `${op}?workspace=${WORKSPACE}`,
    );
    const body = accessRequest(read('app-key'), '', ops);
    body.token = await bcrypt.hash(`${body.app_key}${body.timestamp}${read('app-secret')}`, 10);
    const { status, code, data } = await post('permission/v1alpha1/access', { body });
    headers = { ...headers, 'x-access-token': data?.access_token };
    return unless(status === 200 && code === 0, `HTTP ${status}, code ${code}`);
  });
  const operation = (op, body, isRight = () => true) =>
    step(`${op} does what it says`, async () => {
      const { status, code, data } = await post(`${op}?workspace=${WORKSPACE}`, { headers, body });
      const done = status === 200 && (code === 200 || code === 0);
      return unless(
        done && isRight(data),
        `HTTP ${status}, code ${code}, ${data?.reason ?? 'another answer'}`,
      );
    });
  operation('CreateSecret', secret);
  cleanUp = () => post(`DeleteSecret?workspace=${WORKSPACE}`, { headers, body: { name, env } });
  operation('RetrieveSecret', { name, env }, (data) => data?.value === secret.value);
  operation('DeleteSecret', { name, env });
}

for (const { name, check } of steps) {
  const complaint = await check().catch((error) => error.code ?? error.message);
  console.log(
    `${complaint === undefined ? 'ok     ' : 'FAILED '} ${name}${complaint ? `: ${complaint}` : ''}`,
  );
  if (complaint === undefined) continue;
  await cleanUp().catch(() => undefined);
  process.exit(1);
}
