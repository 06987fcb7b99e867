// CPU time and memory of processes, from /proc.
import { readdirSync, readFileSync } from 'node:fs'

const tickMs = 10 // USER_HZ is 100 on every Linux that Node runs on

function statOf(pid: number): { parent: number; ticks: number } | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    // state ppid … utime stime cutime cstime
    return { parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) }
  } catch { return null }
}

/** User and system time of a process, milliseconds; with `children`, of those it has now and has waited for as well. */
export function cpuMsOf(pid: number, children = false): number {
  const own = (statOf(pid)?.ticks ?? 0) * tickMs
  if (!children) return own
  const waited = (() => { try { const stat = readFileSync(`/proc/${pid}/stat`, 'utf8'); const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' '); return (Number(fields[13]) + Number(fields[14])) * tickMs } catch { return 0 } })()
  const living = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((one) => statOf(one)?.parent === pid)
  return own + waited + living.reduce((sum, one) => sum + (statOf(one)?.ticks ?? 0) * tickMs, 0)
}

/** The most memory the process ever had resident, MB. */
export function peakRssMbOf(pid: number): number {
  try { return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024 } catch { return 0 }
}
