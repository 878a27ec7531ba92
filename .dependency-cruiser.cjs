/**
 * Who may import whom, and which npm package may be used where: the layer table of ARCHITECTURE.md, enforced.
 * A folder that is not in the table may import nothing; adding one means adding a row there and in scripts/layers.cjs.
 */

const { LAYERS } = require('./scripts/layers.cjs');

const escape = (text) => text.replace(/[.\\+*?[^\]$(){}=!<>|:-]/g, '\\$&');
const anyOf = (paths) => (paths.length === 0 ? '^$' : `^(${paths.map(escape).join('|')})(/|$)`);
/** A package as the cruiser sees it: resolved, or (types only, without files of its own) by its name, or by its @types. */
const packages = (names) =>
  names.length === 0 ? '^$' : `(^|node_modules/)(@types/)?(${names.map((name) => escape(name)).join('|')})(/|$)`;

const layerRules = LAYERS.flatMap(({ folder, except, imports, types = [], npm, node }) => {
  const name = folder.replace(/^src\//, '').replaceAll('/', '-');
  const from = { path: anyOf([folder]), ...(except === undefined ? {} : { pathNot: anyOf([except]) }) };
  const own = except === undefined ? anyOf([folder]) : `^${escape(folder)}/(?!${escape(except.slice(folder.length + 1))}/)`;
  const values = [own, ...(imports.length === 0 ? [] : [anyOf(imports)])];
  const all = [...values, ...(types.length === 0 ? [] : [anyOf(types)])];
  return [
    {
      name: `${name}-imports`,
      severity: 'error',
      comment: `${folder} may import ${imports.join(', ') || 'no other folder'}${types.length === 0 ? '' : ` and types of ${types.join(', ')}`}.`,
      from,
      to: { path: '^(src|simulators|bench|test|scripts)/', pathNot: all },
    },
    {
      name: `${name}-imports-values`,
      severity: 'error',
      comment: `${folder} may import values only from ${imports.join(', ') || 'itself'}; from elsewhere \`import type\`.`,
      from,
      to: { path: '^(src|simulators|bench|test|scripts)/', pathNot: values, dependencyTypesNot: ['type-only'] },
    },
    {
      name: `${name}-packages`,
      severity: 'error',
      comment: `${folder} may use ${npm.join(', ') || 'no npm package'}.`,
      from,
      to: {
        dependencyTypes: [
          'npm',
          'npm-dev',
          'npm-optional',
          'npm-peer',
          'npm-bundled',
          'npm-no-pkg',
          'npm-unknown',
          'unknown',
          'undetermined',
        ],
        dependencyTypesNot: ['local', 'core'],
        pathNot: ['^\\.\\.?/(?!.*node_modules/)', packages(npm)],
      },
    },
    ...(node
      ? [
          {
            name: `${name}-timers`,
            severity: 'error',
            comment: 'Timers come from the Clock (src/base/clock.ts), which a test can move.',
            from,
            to: { dependencyTypes: ['core'], path: '^(node:)?(timers|perf_hooks)(/|$)' },
          },
        ]
      : [
          {
            name: `${name}-node`,
            severity: 'error',
            comment: `${folder} uses nothing of Node: it is pure, or runs in a browser.`,
            // The build's own configuration lies there too and runs in Node.
            from: { ...from, pathNot: '(^|/)vite\\.config\\.ts$' },
            to: { dependencyTypes: ['core'] },
          },
        ]),
  ];
});

const known = anyOf([...LAYERS.map(({ folder }) => folder), 'src/main.ts', 'src/app.ts', 'src/app']);

module.exports = {
  forbidden: [
    ...layerRules,
    {
      name: 'unknown-folder',
      severity: 'error',
      comment: 'A folder that is not in the layer table: give it a row in scripts/layers.cjs and in ARCHITECTURE.md.',
      from: { path: '^src/', pathNot: known },
      to: {},
    },
    {
      name: 'unknown-folder-imported',
      severity: 'error',
      comment: 'A folder that is not in the layer table: give it a row in scripts/layers.cjs and in ARCHITECTURE.md.',
      from: {},
      to: { path: '^src/', pathNot: known },
    },
    {
      name: 'no-circles',
      severity: 'error',
      comment: 'Two files that need each other are one file, or want a third. (Circles of types alone are allowed.)',
      from: { path: '^(src|simulators)/' },
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'unresolvable',
      severity: 'error',
      comment: 'An import that leads nowhere.',
      from: { path: '^(src|simulators)/' },
      to: { couldNotResolve: true },
    },
    {
      name: 'root-is-not-imported',
      severity: 'error',
      comment: 'app.ts, app/ and main.ts put the parts together; no part knows them.',
      from: { path: '^(src|simulators)/', pathNot: '^src/(main\\.ts|app\\.ts|app/)' },
      to: { path: '^src/(main\\.ts|app\\.ts|app/)' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '\\.(css|svg|mp3|wav|ogg|png)$' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
};
