import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { realClock } from '../src/real/real-clock.ts'
import { realDisk } from '../src/real/real-disk.ts'
import { realRandom } from '../src/real/real-random.ts'
import { realNetwork } from '../src/net/real-network.ts'
import { clockSuite } from './suites/clock-suite.ts'
import { diskSuite } from './suites/disk-suite.ts'
import { networkSuite } from './suites/network-suite.ts'
import { recordingLogger } from './suites/recording-logger.ts'

const until = <T>(promise: Promise<T>): Promise<T> => promise

for (const encryption of ['auto', 'always'] as const) {
  void t.test(`the real network, encryption ${encryption}`, async (t) => {
    networkSuite(t, async () => {
      const { log } = recordingLogger()
      return {
        network: realNetwork({ clusterKey: randomBytes(32), log, encryption }),
        stranger: realNetwork({ clusterKey: randomBytes(32), log, encryption }),
        clock: realClock,
        address: '127.0.0.1',
        deadAddress: '127.0.0.2',
        until,
        close: async () => {},
      }
    })
  })
}

void t.test('the real clock', async (t) => clockSuite(t, () => ({ clock: realClock, until })))

void t.test('the real disk', async (t) => {
  diskSuite(t, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mirabelle-disk-'))
    return { disk: realDisk, folder, until, close: () => rm(folder, { recursive: true }) }
  })
})

void t.test('the real randomness is in range and differs', async (t) => {
  for (let i = 0; i < 100; i++) t.ok(realRandom.next() >= 0 && realRandom.next() < 1)
  t.match(realRandom.hex(16), /^[0-9a-f]{32}$/)
  t.not(realRandom.hex(16), realRandom.hex(16))
})
