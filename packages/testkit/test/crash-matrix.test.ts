/** The draw of the crash matrix: the same seed kills the same things, and every point has its turn. */
import t from 'tap'
import { isFaultPoint } from '@mirabelle/messages'
import { matrixCommands } from '../src/crash-matrix/commands.ts'
import { describeKill, drawKills, victims } from '../src/crash-matrix/draw.ts'
import { SimRandom } from '../src/sim/sim-random.ts'

t.test('the same seed draws the same kills, another one others', (t) => {
  const { points } = matrixCommands['recover-full']
  const drawn = (seed: number) => drawKills(points, 20, new SimRandom(seed)).map(describeKill)
  t.same(drawn(7), drawn(7))
  t.not(drawn(7).join(), drawn(8).join())
  t.end()
})

t.test('every point of a command comes once before any comes twice', (t) => {
  for (const [name, { points }] of Object.entries(matrixCommands)) {
    const all = victims.flatMap((victim) => (points[victim] ?? []).map((at) => `${victim} ${at}`))
    t.equal(new Set(all).size, all.length, `${name} names no point twice`)
    t.ok(
      victims.flatMap((victim) => points[victim] ?? []).every((at) => isFaultPoint(at)),
      `${name} names only points that there are`,
    )
    const kills = drawKills(points, Math.ceil((all.length * 3) / 2), new SimRandom(1))
    const atPoints = kills.flatMap((kill) => ('at' in kill ? [`${kill.victim} ${kill.at}`] : []))
    t.same([...new Set(atPoints)].sort(), [...all].sort(), name)
  }
  t.end()
})
