/**
 * The identity file of a data directory, `instance.json`. PostgreSQL's system identifier is the same for every instance made from
 * one template, so it cannot tell contents apart; this file can. The agent writes it when it creates the folder; every start compares it.
 */
import { MirabelleError, type Content, type Dbid } from '@mirabelle/messages'
import type { Disk } from '@mirabelle/runtime'
import { identityFile } from './layout.ts'
import { readJson } from './json-file.ts'

/** The format of the folder that this version reads and writes, what `init` puts into its catalog included. 2: pg_settings, gp_dist_random. */
export const DATADIR_FORMAT = 2

export interface InstanceIdentity {
  readonly formatVersion: number
  readonly clusterId: string
  readonly content: Content
  readonly dbid: Dbid
  /** Wall clock, ms since 1970. */
  readonly createdAt: number
}

/** Whose folder it should be. */
export type ExpectedIdentity = Pick<InstanceIdentity, 'clusterId' | 'content' | 'dbid'>

/** Writes the identity of a new folder, durably. */
export async function writeIdentity(
  disk: Disk,
  datadir: string,
  identity: ExpectedIdentity & { readonly createdAt: number },
): Promise<void> {
  const whole: InstanceIdentity = {
    formatVersion: DATADIR_FORMAT,
    clusterId: identity.clusterId,
    content: identity.content,
    dbid: identity.dbid,
    createdAt: identity.createdAt,
  }
  await disk.makeDir(datadir)
  await disk.writeFileDurable(identityFile(datadir), `${JSON.stringify(whole, null, 2)}\n`)
}

/** Reads the identity. Rejects with `datadir.broken` when the file is missing or cannot be read as one. */
export async function readIdentity(disk: Disk, datadir: string): Promise<InstanceIdentity> {
  const path = identityFile(datadir)
  const value = await readJson(disk, path)
  if (value === undefined) {
    throw new MirabelleError(
      'datadir.broken',
      `${path} is missing: ${datadir} is not the folder of an instance, or its creation did not end. Create it again, or recover it with a full copy.`,
    )
  }
  if (!isIdentity(value)) {
    throw new MirabelleError('datadir.broken', `${path} does not hold the identity of an instance.`)
  }
  return value
}

/** Throws `datadir.foreign` (or `datadir.broken` for a format that is not ours) when the folder is not the expected one. */
export function verifyIdentity(datadir: string, found: InstanceIdentity, expected: ExpectedIdentity): void {
  if (found.formatVersion !== DATADIR_FORMAT) {
    throw new MirabelleError(
      'datadir.broken',
      `${datadir} has format ${found.formatVersion}; this version of Mirabelle reads format ${DATADIR_FORMAT}.`,
    )
  }
  if (
    found.clusterId !== expected.clusterId ||
    found.content !== expected.content ||
    found.dbid !== expected.dbid
  ) {
    const say = (one: ExpectedIdentity): string =>
      `cluster ${one.clusterId}, content ${one.content}, dbid ${one.dbid}`
    throw new MirabelleError(
      'datadir.foreign',
      `${datadir} belongs to ${say(found)}, but is to be started as ${say(expected)}. Check the folder in the catalog row.`,
      { detail: { found, expected } },
    )
  }
}

function isIdentity(value: unknown): value is InstanceIdentity {
  if (typeof value !== 'object' || value === null) return false
  const one = value as Record<string, unknown>
  return (
    Number.isSafeInteger(one['formatVersion']) &&
    typeof one['clusterId'] === 'string' &&
    Number.isSafeInteger(one['content']) &&
    Number.isSafeInteger(one['dbid']) &&
    typeof one['createdAt'] === 'number'
  )
}
