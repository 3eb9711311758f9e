/** TLS of the front door. */
import { existsSync, readFileSync } from 'node:fs'

/** Certificate and key of the front door, when the administrator has put them into the instance's folder. */
export function tlsFiles(datadir: string): { cert: Buffer; key: Buffer } | undefined {
  const cert = `${datadir}/server.crt`
  const key = `${datadir}/server.key`
  return existsSync(cert) && existsSync(key)
    ? { cert: readFileSync(cert), key: readFileSync(key) }
    : undefined
}
