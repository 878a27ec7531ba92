/** A certificate for the TLS listeners under test, made by openssl when the run begins; it signs nothing but itself. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';

/** Paths of PEM files. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** On P-256, as devices of today have it. Null where openssl is not installed. */
export function makeCertificate(folder: string): Certificate | null {
  const made = { cert: path.join(folder, 'cert.pem'), key: path.join(folder, 'key.pem') };
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const request = ['req', '-x509', ...kind, '-days', '2', '-subj', '/CN=bench', '-keyout', made.key, '-out', made.cert];
  const { error, status } = spawnSync('openssl', request, { stdio: 'ignore' });
  return error === undefined && status === 0 ? made : null;
}
