import t from 'tap'
import fc from 'fast-check'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  symlinkSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BLOCK_BYTES, listBackup } from '@mirabelle/engine'
import { MirabelleError } from '@mirabelle/messages'
import { realDisk, type BulkFiles, type Disk, type FileContent } from '@mirabelle/runtime'
import { hashBlocks } from '../src/copy/block-hash.ts'
import { copySmallFiles, inBatches, SMALL_BYTES } from '../src/copy/copy-small-files.ts'
import { SourceFiles } from '../src/copy/source-files.ts'
import { WorkLimit } from '../src/copy/work-limit.ts'

function folder(t: { teardown(fn: () => void): void }): string {
  const path = mkdtempSync(join(tmpdir(), 'mirabelle-copy-small-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

function bulkFiles(t: { teardown(fn: () => void): void }): BulkFiles {
  const files = (realDisk as Required<Disk>).bulk()
  t.teardown(() => files.close())
  return files
}

/** The primary's files, in memory; what is not among them is gone. */
function fakeSource(files: ReadonlyMap<string, Uint8Array>) {
  const fetched: string[] = []
  const source = {
    hashFiles: (wanted: readonly (readonly [string, number])[]) =>
      Promise.resolve(
        wanted.map(([path, blocks]) =>
          hashBlocks((files.get(path) ?? new Uint8Array(0)).subarray(0, blocks * BLOCK_BYTES)),
        ),
      ),
    readFiles: (wanted: readonly (readonly [string, number])[]) => {
      fetched.push(...wanted.map(([path]) => path))
      return Promise.resolve(
        wanted.map(([path, length]) => (files.get(path) ?? new Uint8Array(0)).slice(0, length)),
      )
    },
  }
  return { source, fetched }
}

t.test(
  'small files are the primary’s, whatever lay there; those that are equal are not fetched, only made durable',
  async (t) => {
    const base = folder(t)
    const bulk = bulkFiles(t)
    const put: FileContent[] = []
    const files: BulkFiles = {
      ...bulk,
      read: (heads) => bulk.read(heads),
      put: (contents) => (put.push(...contents), bulk.put(contents)),
    }
    const bytes = fc
      .tuple(fc.integer({ min: 0, max: 2 * BLOCK_BYTES + 2 }), fc.integer({ min: 0, max: 1 }))
      .map(([length, value]) => Buffer.alloc(length, value + 1))
    const here = fc.option(fc.oneof(bytes, fc.constant('equal' as const)))
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(bytes, here), { maxLength: 12 }), async (pairs) => {
        put.length = 0
        for (const name of readdirSync(base)) rmSync(join(base, name))
        const remote = new Map(pairs.map(([theirs], index) => [`f${index}`, theirs]))
        const batch = [...remote].map(([path, theirs]) => ({
          path,
          size: theirs.length,
          target: join(base, path),
        }))
        pairs.forEach(([theirs, ours], index) => {
          if (ours !== null) writeFileSync(join(base, `f${index}`), ours === 'equal' ? theirs : ours)
        })
        const differing = [...remote].filter(([path, theirs]) => {
          const target = join(base, path)
          return theirs.length > 0 && !(existsSync(target) && readFileSync(target).equals(theirs))
        })
        const { source, fetched } = fakeSource(remote)
        await copySmallFiles({ disk: realDisk, files, source, limit: new WorkLimit(4) }, batch)
        return (
          [...remote].every(([path, theirs]) => readFileSync(join(base, path)).equals(theirs)) &&
          JSON.stringify(fetched) === JSON.stringify(differing.map(([path]) => path)) &&
          JSON.stringify(put.map(({ path }) => path)) === JSON.stringify(batch.map(({ target }) => target))
        )
      }),
      { numRuns: 30 },
    )
  },
)

t.test('a small file that changes after it was listed: longer, shorter, dropped', async (t) => {
  const base = folder(t)
  const files = bulkFiles(t)
  const listed = (path: string, size: number) => ({ path, size, target: join(base, path) })
  const remote = new Map([
    ['longer', Buffer.from('one line\nanother line\n')],
    ['cut', Buffer.alloc(BLOCK_BYTES, 3)],
    ['empty', Buffer.from('not any more')],
  ])
  writeFileSync(join(base, 'longer'), 'one line\n')
  writeFileSync(join(base, 'cut'), Buffer.alloc(2 * BLOCK_BYTES, 3))
  writeFileSync(join(base, 'dropped'), 'here still')
  const { source } = fakeSource(remote)
  await copySmallFiles({ disk: realDisk, files, source, limit: new WorkLimit(1) }, [
    listed('longer', 9),
    listed('cut', 2 * BLOCK_BYTES),
    listed('dropped', 10),
    listed('never', 10),
    listed('empty', 0),
  ])
  t.equal(
    readFileSync(join(base, 'longer'), 'utf8'),
    'one line\nanother line\n',
    'within a block that was looked at',
  )
  t.ok(
    readFileSync(join(base, 'cut')).equals(Buffer.alloc(BLOCK_BYTES, 3)),
    'ends where reading found its end',
  )
  t.notOk(existsSync(join(base, 'dropped')), 'a file that was dropped is not left, nor left empty')
  t.notOk(existsSync(join(base, 'never')))
  t.equal(readFileSync(join(base, 'empty')).length, 0, 'one that was empty is there')
  t.equal(statSync(join(base, 'empty')).mode & 0o777, 0o600)
})

t.test('a failure to write, or of the source, fails the batch', async (t) => {
  const base = folder(t)
  const files = bulkFiles(t)
  const one = { path: 'f', size: 5, target: join(base, 'no', 'folder') }
  const { source } = fakeSource(new Map([['f', Buffer.from('bytes')]]))
  const limit = () => new WorkLimit(1)
  await t.rejects(copySmallFiles({ disk: realDisk, files, source, limit: limit() }, [one]), {
    code: 'ENOENT',
  })
  const gone = new MirabelleError('connection.lost', 'gone')
  const lost = { ...source, readFiles: () => Promise.reject(gone) }
  await t.rejects(
    copySmallFiles({ disk: realDisk, files, source: lost, limit: limit() }, [
      { ...one, target: join(base, 'f') },
    ]),
    gone,
  )
  t.notOk(existsSync(join(base, 'f')))
})

t.test('batches keep the order and are bounded', async (t) => {
  const files = [0, 1, BLOCK_BYTES, BLOCK_BYTES + 1, SMALL_BYTES, SMALL_BYTES - 1]
  const many = Array.from({ length: 500 }, (_, index) => ({
    path: `f${index}`,
    size: files[index % 6] as number,
    target: '',
  }))
  const batches = inBatches(many)
  t.same(batches.flat(), many)
  t.ok(
    batches.every(
      (batch) =>
        batch.length <= 64 && batch.reduce((sum, { size }) => sum + Math.ceil(size / BLOCK_BYTES), 0) <= 64,
    ),
  )
  t.ok(batches.length < many.length / 8, `${batches.length} batches`)
  t.same(inBatches([]), [])
})

t.test('the source lists what belongs into a copy, with a thread for files as without', async (t) => {
  const base = folder(t)
  for (const path of ['global', 'base/1', 'pg_wal/archive_status', 'base/pgsql_tmp', 'pg_tblspc'])
    mkdirSync(join(base, path), { recursive: true })
  for (const path of [
    'PG_VERSION',
    'global/pg_control',
    'base/1/1259',
    'base/1/1260',
    'pg_wal/000000010000000000000001',
    'postmaster.pid',
    'base/pgsql_tmp/x',
  ])
    writeFileSync(join(base, path), path)
  symlinkSync(base, join(base, 'pg_tblspc', 'elsewhere'))
  const files = new SourceFiles(realDisk, base)
  const listed = await files.list()
  t.equal(listed.at(-1)?.path, 'global/pg_control')
  t.same(listed, await listBackup(base))
  await files.close()
})

t.test('small files of the source: gone reads as empty, with a thread for them or without', async (t) => {
  const base = folder(t)
  writeFileSync(join(base, 'a'), 'some bytes')
  const { bulk: _, ...plain } = realDisk
  for (const disk of [realDisk, plain]) {
    const files = new SourceFiles(disk, base)
    const read = await files.small([
      { path: 'a', length: 4 },
      { path: 'gone', length: 4 },
      { path: 'a', length: 100 },
    ])
    t.same(
      read.map((bytes) => Buffer.from(bytes).toString()),
      ['some', '', 'some bytes'],
    )
    await files.close()
  }
})
