/** The OpenAPI 3.1 document, made from the routes and their schemas, so that it cannot fall behind them. */
import { z } from 'zod';
import { NAMED_SCHEMAS } from './api-schema.ts';
import { type ProblemCode, statusOf } from './problem.ts';
import type { Route } from './route.ts';

type Json = Readonly<Record<string, unknown>>;

/** Problems that every route can answer with. */
const ALWAYS: readonly ProblemCode[] = ['too-many-requests', 'store-away', 'internal'];

const NAMES: ReadonlyMap<z.ZodType, string> = new Map(Object.entries(NAMED_SCHEMAS).map(([name, schema]) => [schema, name]));

function namedSchemas(): Json {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(NAMED_SCHEMAS)) registry.add(schema, { id });
  const { schemas } = z.toJSONSchema(registry, { uri: (id) => `#/components/schemas/${id}`, unrepresentable: 'any' });
  return Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, bare(schema)]));
}

/** The dialect and the id are the document's business. */
function bare({ $schema: _dialect, $id: _id, ...schema }: Json): Json {
  return schema;
}

const inputSchema = (schema: z.ZodType): Json => bare(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Json);

const schemaOf = (schema: z.ZodType): Json => {
  const name = NAMES.get(schema);
  return name === undefined ? bare(z.toJSONSchema(schema, { unrepresentable: 'any' }) as Json) : { $ref: `#/components/schemas/${name}` };
};

function problemAnswers(codes: readonly ProblemCode[]): Json {
  const byStatus = new Map<number, ProblemCode[]>();
  for (const code of codes) byStatus.set(statusOf(code), [...(byStatus.get(statusOf(code)) ?? []), code]);
  return Object.fromEntries(
    [...byStatus].map(([status, ones]) => [
      String(status),
      {
        description: `Problem: ${ones.join(', ')}`,
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    ]),
  );
}

function parametersOf({ path, query }: Route): Json[] {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({ name, in: 'path', required: true, schema: { type: 'string' } }));
  if (query === null) return inPath;
  const { properties = {}, required = [] } = inputSchema(query) as { properties?: Record<string, Json>; required?: string[] };
  const inQuery = Object.entries(properties).map(([name, schema]) => ({ name, in: 'query', required: required.includes(name), schema }));
  return [...inPath, ...inQuery];
}

function operationOf(route: Route): Json {
  const { body, ok, access, problems } = route;
  const own: ProblemCode[] = [
    ...(route.query === null && body === null ? [] : (['invalid-request'] as const)),
    ...(body === null ? [] : (['invalid-json', 'body-too-large', 'not-json'] as const)),
    ...(route.method === 'GET' ? [] : (['foreign-origin'] as const)),
    ...(access === 'anyone' ? [] : (['no-session'] as const)),
    ...(Array.isArray(access) ? (['role-missing'] as const) : []),
  ];
  const type = ok.schema === null ? ok.type : 'application/json';
  const content =
    type === undefined ? {} : { content: { [type]: { schema: ok.schema === null ? { type: 'string' } : schemaOf(ok.schema) } } };
  const parameters = parametersOf(route);
  return {
    summary: route.summary,
    ...(access === 'anyone' ? { security: [] } : {}),
    ...(Array.isArray(access) ? { description: `For ${access.join(', ')}.` } : {}),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === null ? {} : { requestBody: { required: true, content: { 'application/json': { schema: inputSchema(body) } } } }),
    responses: {
      [String(ok.status)]: { description: 'Done', ...content },
      ...problemAnswers([...new Set([...own, ...problems, ...ALWAYS])]),
    },
  };
}

/** The feed is no route of ours but belongs to the contract. */
const FEED: Json = {
  get: {
    summary: 'WebSocket: a snapshot or "resumed", then each change, and a pulse every 2 s (docs/console-feed.md).',
    parameters: [{ name: 'resume', in: 'query', required: false, schema: { type: 'string' } }],
    responses: { '101': { description: 'The socket is open' }, ...problemAnswers(['no-session', 'foreign-origin']) },
  },
};

/** @param version of the program */
export function openApiOf(routes: readonly Route[], version: string): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const one of routes) (paths[one.path] ??= {})[one.method.toLowerCase()] = operationOf(one);
  return {
    openapi: '3.1.0',
    info: {
      title: 'Responssenter',
      version,
      description:
        'Errors are problem documents (RFC 9457) with a stable code. Alarms of municipalities that the account does not serve do not exist for it.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    security: [{ session: [] }],
    paths: { ...paths, '/ws': FEED },
    components: {
      schemas: namedSchemas(),
      securitySchemes: { session: { type: 'apiKey', in: 'cookie', name: 'session' } },
    },
  };
}
