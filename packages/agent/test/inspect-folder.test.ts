/** What is told of a folder must not be less than what its instance has acknowledged without saying so. */
import t, { type Test } from 'tap'
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pgdataDir, pgWalDir, receivedWalDir, stateDir } from '@mirabelle/instance'
import type { Assignment } from '@mirabelle/messages'
import { realDisk, silentLogger, type Ports } from '@mirabelle/runtime'
import { DEFAULT_SEGMENT_SIZE, encodeWalRecords, walFileName } from '@mirabelle/wal'
import { inspectFolder } from '../src/inspect-folder.ts'

const ports = { disk: realDisk, log: silentLogger } as unknown as Ports
const START = DEFAULT_SEGMENT_SIZE

/** PostgreSQL's resource manager of transactions, and what its records do. */
const TRANSACTION = 1
const COMMIT = 0x00
const PREPARE = 0x10
const COMMIT_PREPARED = 0x30
const ABORT_PREPARED = 0x40

/** A segment with these records of transactions. Returns their end. */
function writeSegment(folder: string, timeline: number, operations: readonly number[]): number {
  mkdirSync(folder, { recursive: true })
  const { bytes, next } = encodeWalRecords(
    { timeline, lsn: START, prev: 0, segmentSize: DEFAULT_SEGMENT_SIZE, systemIdentifier: 7n },
    operations.map((info) => ({ rmgr: TRANSACTION, info, payload: new Uint8Array(40) })),
  )
  const path = join(folder, walFileName(timeline, START, DEFAULT_SEGMENT_SIZE))
  writeFileSync(path, bytes)
  truncateSync(path, DEFAULT_SEGMENT_SIZE)
  return next.lsn
}

function folder(t: Test) {
  const datadir = mkdtempSync(join(tmpdir(), 'mirabelle-inspect-'))
  t.teardown(() => realDisk.remove(datadir))
  const assignment = { dbid: 4, content: 0, datadir, listen: { addresses: [], port: 1 } }
  const instance = { assignment: assignment as unknown as Assignment, pid: null }
  return {
    datadir,
    look: () => inspectFolder(ports, instance, START),
    becomes(role: 'p' | 'm'): void {
      mkdirSync(stateDir(datadir), { recursive: true })
      writeFileSync(join(stateDir(datadir), 'role.json'), JSON.stringify({ value: role }))
    },
  }
}

t.test('a primary without its own WAL: nobody knows how far it went', async (t) => {
  const { datadir, look, becomes } = folder(t)
  becomes('m')
  const received = writeSegment(receivedWalDir(datadir), 1, [COMMIT])
  t.match(await look(), { wal: { timeline: 1, endLsn: received }, commits: 1 }, 'a mirror has received it')

  becomes('p')
  const written = writeSegment(pgWalDir(datadir), 1, [COMMIT, COMMIT, COMMIT])
  t.match(await look(), { wal: { timeline: 1, endLsn: written }, commits: 3 }, 'a primary has written more')

  rmSync(pgdataDir(datadir), { recursive: true })
  t.match(await look(), { hasBase: false, wal: null, commits: null }, 'its disk is not mounted')
})

t.test('what is prepared at the end counts: it may have been committed everywhere else', async (t) => {
  const { datadir, look, becomes } = folder(t)
  becomes('p')
  const commitsOf = async (operations: readonly number[]): Promise<number | null> => {
    writeSegment(pgWalDir(datadir), 1, operations)
    return (await look()).commits
  }
  t.equal(await commitsOf([PREPARE]), 1)
  t.equal(await commitsOf([COMMIT, PREPARE]), 2)
  t.equal(await commitsOf([PREPARE, COMMIT_PREPARED]), 1)
  t.equal(await commitsOf([PREPARE, ABORT_PREPARED]), 0)
  t.equal(await commitsOf([ABORT_PREPARED, PREPARE]), 1, 'one of before has ended')
})
