/** The service worker: what the browser runs of net/offline-page.ts. The build replaces the list of files. */
import { type FileList, type WorkerScope, keepPage } from './net/offline-page.ts';

const FILES = '%FILES%';

if (FILES.startsWith('{')) keepPage(globalThis as unknown as WorkerScope, JSON.parse(FILES) as FileList);
