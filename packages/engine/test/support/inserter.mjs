// Child process that inserts rows and prints each number once it is durable, until it is killed. Run with the instance folder.
import { createEngine } from '@mirabelle/engine'

const engine = createEngine({
  dataDir: process.argv[2],
  logger: { debug() {}, info() {}, warn() {}, error() {} },
  setTimer: (ms, fn) => {
    const timer = setTimeout(fn, ms)
    return { clear: () => clearTimeout(timer) }
  },
})
const query = (sql) => {
  const body = Buffer.from(`${sql}\0`)
  const bytes = Buffer.alloc(5 + body.length)
  bytes.write('Q', 'latin1')
  bytes.writeInt32BE(4 + body.length, 1)
  bytes.set(body, 5)
  return bytes
}
await engine.startPrimary()
let tag = 0
const submit = (sql) => engine.submit({ bytes: query(sql), syncs: 1, tag: ++tag })
await submit('CREATE TABLE IF NOT EXISTS acked(i int PRIMARY KEY)')
let next = Number(process.argv[3] ?? 0)
await Promise.all(
  Array.from({ length: 8 }, async () => {
    for (;;) {
      const i = ++next
      const { lsn } = await submit(`INSERT INTO acked VALUES (${i})`)
      while ((await engine.syncWal()) < lsn);
      process.stdout.write(`${i}\n`)
      if (i % 500 === 0) await submit('CHECKPOINT')
    }
  }),
)
