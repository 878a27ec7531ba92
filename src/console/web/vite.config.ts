/** How the browser side is built: one page, files of its own only, no inline script, and a service worker that knows them all. */
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { type Plugin, defineConfig } from 'vite';

const here = dirname(fileURLToPath(import.meta.url));

/** Designsystemet draws its icons from data: URLs, which `default-src 'self'` forbids: they become files beside the style sheet. */
function iconsAsFiles(): Plugin {
  return {
    name: 'icons-as-files',
    enforce: 'post',
    generateBundle(_options, bundle) {
      for (const file of Object.values(bundle)) {
        if (file.type !== 'asset' || !file.fileName.endsWith('.css')) continue;
        file.source = String(file.source).replace(/url\((["']?)data:image\/svg\+xml[^,]*,(.*?)\1\)/g, (_whole, _quote, data: string) => {
          const svg = decodeURIComponent(data);
          const name = `icon-${createHash('sha256').update(svg).digest('hex').slice(0, 10)}.svg`;
          if (!(`assets/${name}` in bundle)) this.emitFile({ type: 'asset', fileName: `assets/${name}`, source: svg });
          return `url(./${name})`;
        });
      }
    },
  };
}

/** Hands the service worker the list of files to keep, and a name that changes with them. */
function filesForWorker(): Plugin {
  return {
    name: 'files-for-worker',
    enforce: 'post',
    generateBundle: {
      order: 'post',
      handler(_options, bundle) {
        const files = Object.keys(bundle)
          .filter((name) => name.startsWith('assets/'))
          .sort();
        const version = createHash('sha256').update(files.join()).digest('hex').slice(0, 12);
        const worker = bundle['sw.js'];
        if (worker?.type !== 'chunk') throw new Error('the service worker was not built: see rolldownOptions.input');
        worker.code = worker.code.replace(/["'`]%FILES%["'`]/, () =>
          JSON.stringify(JSON.stringify({ version, files: files.map((name) => `/${name}`) })),
        );
      },
    },
  };
}

export default defineConfig({
  root: here,
  base: '/',
  plugins: [react(), iconsAsFiles(), filesForWorker()],
  build: {
    outDir: join(here, '../../../build/console'),
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900,
    rolldownOptions: {
      input: { index: join(here, 'index.html'), sw: join(here, 'sw.ts') },
      output: { entryFileNames: (chunk) => (chunk.name === 'sw' ? 'sw.js' : 'assets/[name]-[hash].js') },
    },
  },
});
