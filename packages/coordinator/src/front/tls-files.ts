/** TLS of the front door. */
import { existsSync, readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { MirabelleError } from '@mirabelle/messages'
import { readPrivateFile } from '@mirabelle/runtime'

/**
 * Certificate and key of the front door, when the administrator has put them into the instance's folder. Throws `key.unsafe` when others may
 * read the key, with `datadir.broken` when the two are no certificate and its key: an instance that was to speak TLS does not start without.
 */
export function tlsFiles(datadir: string): { cert: Buffer; key: Buffer } | undefined {
  const certFile = `${datadir}/server.crt`
  const keyFile = `${datadir}/server.key`
  if (!existsSync(certFile) || !existsSync(keyFile)) return undefined
  const files = { cert: readFileSync(certFile), key: readPrivateFile(keyFile) }
  try {
    createSecureContext(files)
  } catch (error) {
    throw new MirabelleError(
      'datadir.broken',
      `${certFile} and ${keyFile} are no certificate and its key: ${(error as Error).message}`,
      { cause: error },
    )
  }
  return files
}
