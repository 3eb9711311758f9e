import t from 'tap'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import { parseLsn } from '@mirabelle/messages'
import { realDisk } from '@mirabelle/runtime'
import { dumpWal, findWalEnd, parseWalFileName, WalValidator } from '../src/index.ts'
import { SEGMENT, tempDir } from './support/fixture.ts'

t.test('WAL that PostgreSQL wrote', async (t) => {
  const dir = tempDir(t)
  const db = await PGlite.create({
    dataDir: join(dir, 'db'),
    initDbStartParams: ['--wal-segsize=1'],
    startParams: [
      ...PGlite.defaultStartParams,
      '-c',
      'max_prepared_transactions=4',
      '-c',
      'wal_recycle=off',
      '-c',
      'wal_keep_size=1GB',
    ],
  })
  const lsn = async (): Promise<number> =>
    parseLsn(
      (await db.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn')).rows[0]?.lsn ?? '',
    )
  await db.exec('CHECKPOINT')
  const begin = await lsn()
  await db.exec('CREATE TABLE t (a int PRIMARY KEY, b text)')
  for (let i = 0; i < 100; i++) await db.query('INSERT INTO t VALUES ($1, $2)', [i, 'x'.repeat(i * 30)])
  await db.exec("BEGIN; INSERT INTO t VALUES (1000, 'p'); PREPARE TRANSACTION 'g1'")
  await db.exec("COMMIT PREPARED 'g1'")
  await db.exec("BEGIN; INSERT INTO t VALUES (1001, 'p'); PREPARE TRANSACTION 'g2'")
  await db.exec("ROLLBACK PREPARED 'g2'")
  await db.exec('BEGIN; DELETE FROM t WHERE a < 10; ROLLBACK')
  await db.exec("UPDATE t SET b = b || '!' WHERE a < 50")
  await db.exec('SELECT pg_switch_wal()')
  await db.exec(
    "INSERT INTO t SELECT i, repeat(md5(i::text), 20) FROM generate_series(2000, 5000) i; TRUNCATE t; SELECT pg_logical_emit_message(true, 'm', repeat('x', 2500000))",
  )
  const end = await lsn()
  const wal = join(dir, 'db', 'pg_wal')
  const names = readdirSync(wal).filter((name) => {
    const parsed = parseWalFileName(name, SEGMENT)
    return parsed !== undefined && parsed.start >= begin - SEGMENT && parsed.start < end
  })
  const start = parseWalFileName(names[0] as string, SEGMENT)?.start ?? 0
  const bytes = Buffer.concat(names.map((name) => readFileSync(join(wal, name)))).subarray(0, end - start)

  await t.test('is found to end where PostgreSQL says', async (t) => {
    const found = await findWalEnd(realDisk, wal)
    t.match(found, { timeline: 1, endLsn: end, problem: undefined, segmentSize: SEGMENT })
  })

  await t.test('passes in pieces of any size', (t) => {
    for (const size of [1, 7, 24, 8191, 8192, 100_003, bytes.length]) {
      const validator = new WalValidator({ start, atRecord: false })
      for (let at = 0; at < bytes.length; at += size) validator.push(bytes.subarray(at, at + size))
      t.equal(validator.problem, undefined)
      t.equal(validator.validEnd, end, `${size} bytes at a time`)
    }
    t.end()
  })

  await t.test('cut anywhere it is incomplete, never bad', (t) => {
    const boundaries: number[] = []
    const all = new WalValidator({
      start,
      atRecord: false,
      onRecord: (record) => boundaries.push(record.endLsn),
    })
    all.push(bytes)
    for (let cut = 1; cut < bytes.length; cut += 10_007) {
      const validator = new WalValidator({ start, atRecord: false })
      validator.push(bytes.subarray(0, cut))
      if (validator.problem !== undefined) t.fail(`cut at ${cut}: ${validator.problem.detail}`)
      const before = boundaries.filter((one) => one <= start + cut).at(-1) ?? start
      if (validator.validEnd < before || validator.validEnd > start + cut + 7)
        t.fail(`cut at ${cut}: ${validator.validEnd}, ${before}`)
    }
    t.ok(boundaries.length > 500)
    t.end()
  })

  await t.test('with one bit flipped it passes nowhere beyond the record', (t) => {
    const records: { lsn: number; endLsn: number; length: number }[] = []
    new WalValidator({ start, atRecord: false, onRecord: (record) => records.push(record) }).push(bytes)
    const sample = records.filter(
      (record, i) => i % 20 === 0 && Math.floor(record.lsn / 8192) === Math.floor((record.endLsn - 1) / 8192),
    )
    t.ok(sample.length > 20)
    for (const record of sample) {
      const from = record.lsn - start
      const page = from - (from % 8192)
      for (let bit = 0; bit < record.length * 8; bit += 11) {
        const copy = Buffer.from(bytes.subarray(from, page + 8192))
        copy[bit >> 3] = (copy[bit >> 3] as number) ^ (1 << (bit & 7))
        const validator = new WalValidator({ start: record.lsn, atRecord: true })
        validator.push(copy)
        if (validator.validEnd > record.lsn) t.fail(`bit ${bit} of the record at ${record.lsn} passed`)
      }
    }
    t.end()
  })

  await t.test('is printed with the operations that were done', async (t) => {
    const seen = new Map<string, number>()
    const lines: string[] = []
    for await (const { rmgr, operation, line } of dumpWal({
      disk: realDisk,
      dir: wal,
      from: begin,
      to: end,
    })) {
      seen.set(`${rmgr} ${operation}`, (seen.get(`${rmgr} ${operation}`) ?? 0) + 1)
      lines.push(line)
    }
    for (const expected of [
      'Transaction COMMIT',
      'Transaction PREPARE',
      'Transaction COMMIT_PREPARED',
      'Transaction ABORT_PREPARED',
      'XLOG SWITCH',
      'Heap INSERT',
      'Heap DELETE',
      'Btree INSERT_LEAF',
      'Storage CREATE',
      'LogicalMessage MESSAGE',
    ])
      t.ok(seen.has(expected), expected)
    t.notOk([...seen.keys()].some((key) => key.includes('UNKNOWN')))
    t.match(
      lines.find((line) => line.includes('INSERT_LEAF')),
      /^rmgr: Btree {7}len \(rec\/tot\): +\d+\/ +\d+, tx: +\d+, lsn: 0\/[0-9A-F]{8}, prev 0\/[0-9A-F]{8}, desc: INSERT_LEAF, blkref #0: rel 1663\/5\/\d+ blk \d+/,
    )
    const only = []
    for await (const { rmgr } of dumpWal({ disk: realDisk, dir: wal, from: begin, rmgr: 'transaction' }))
      only.push(rmgr)
    t.ok(only.length > 100 && only.every((rmgr) => rmgr === 'Transaction'))
  })

  await db.close()
})
