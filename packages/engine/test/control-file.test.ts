import t from 'tap'
import { EngineRefused, parseBackupLabel, parseControlFile } from '@mirabelle/engine'

function control(changes: (bytes: Buffer) => void = () => undefined): Buffer {
  const bytes = Buffer.alloc(8192)
  bytes.writeBigUInt64LE(7_000_000n, 0)
  bytes.writeUInt32LE(1800, 8)
  bytes.writeUInt32LE(6, 16)
  bytes.writeBigUInt64LE(0x2000060n, 32)
  bytes.writeBigUInt64LE(0x2000028n, 40)
  bytes.writeUInt32LE(3, 48)
  changes(bytes)
  return bytes
}

t.test('a control file is read', async (t) => {
  t.same(parseControlFile('pg_control', control()), {
    systemIdentifier: '7000000',
    state: 'in production',
    checkpoint: 0x2000060,
    redo: 0x2000028,
    timeline: 3,
  })
})

t.test(
  'one that is cut off, of another version, or has impossible positions is refused by name',
  async (t) => {
    const bad: [string, Buffer][] = [
      ['nothing', Buffer.alloc(0)],
      ['cut off', control().subarray(0, 51)],
      ['another version', control((bytes) => bytes.writeUInt32LE(1700, 8))],
      ['no state', control((bytes) => bytes.writeUInt32LE(7, 16))],
      ['no timeline', control((bytes) => bytes.writeUInt32LE(0, 48))],
      ['a checkpoint beyond everything', control((bytes) => bytes.writeBigUInt64LE(2n ** 60n, 32))],
      ['redo beyond everything', control((bytes) => bytes.writeBigUInt64LE(2n ** 63n, 40))],
    ]
    for (const [name, bytes] of bad)
      t.throws(
        () => parseControlFile('/d/pg_control', bytes),
        { name: 'EngineRefused', message: '/d/pg_control' },
        name,
      )
  },
)

t.test('a backup label says where WAL is needed from, or is refused', async (t) => {
  t.equal(parseBackupLabel('l', 'START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n'), 0x2000028)
  for (const label of ['', 'START WAL LOCATION: nowhere', 'START WAL LOCATION: FFFFFFFF/0 (file x)'])
    t.throws(() => parseBackupLabel('l', label), EngineRefused, label)
})
