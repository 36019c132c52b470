"""Coroutines that load missing values of a TTLCache."""

import asyncio
import gc
import threading
import time
import unittest

from st_secrets import BusyError, TTLCache
from support import Case, Thing, interrupted_after, run_all


class AsyncLoads(Case):
    def test_tasks_of_several_event_loops_share_one_load(self):
        cache, calls, results = TTLCache(), [], []

        async def compute():
            calls.append(1)
            await asyncio.sleep(0.1)
            return Thing()

        def sync_compute():
            calls.append(1)
            time.sleep(0.1)
            return Thing()

        async def main():
            results.extend(await asyncio.gather(*[cache.get_or_set_async("key", compute) for _ in range(10)]))

        run_all([lambda: asyncio.run(main())] * 3 + [lambda: results.append(cache.get_or_set("key", sync_compute))] * 3)
        self.assertEqual(len(calls), 1)
        self.assertEqual((len(results), len(set(map(id, results)))), (33, 1))

    def test_event_loop_runs_while_a_thread_loads(self):
        cache, released = TTLCache(), []
        begun, proceed = threading.Event(), threading.Event()

        def slow():
            begun.set()
            released.append(proceed.wait(60))
            return "from the thread"

        async def main():
            thread = threading.Thread(target=cache.get_or_set, args=("key", slow))
            thread.start()
            begun.wait()
            waiting = asyncio.create_task(cache.get_or_set_async("key", self.fail))
            for _ in range(10):
                await asyncio.sleep(0.001)
            proceed.set()
            value = await waiting
            thread.join()
            return value

        self.assertEqual(asyncio.run(main()), "from the thread")
        self.assertEqual(released, [True])

    def test_lease_is_given_back_if_a_signal_handler_raises_at_any_point(self):
        async def load(value):
            return value

        for function in ("_begin", "_finish"):
            cache = TTLCache()
            with interrupted_after(function):
                asyncio.run(cache.get_or_set_async("key", lambda: load(1)))
            value = asyncio.run(asyncio.wait_for(cache.get_or_set_async("key", lambda: load(2)), 60))
            self.assertEqual(value, 1 if function == "_finish" else 2)

    def test_next_waiter_loads_after_a_cancellation(self):
        cache = TTLCache()

        async def slow():
            await asyncio.sleep(60)

        async def quick():
            return "quick"

        async def main():
            owner = asyncio.create_task(cache.get_or_set_async("key", slow))
            await asyncio.sleep(0.01)
            waiting = asyncio.create_task(cache.get_or_set_async("key", quick))
            gone = asyncio.create_task(cache.get_or_set_async("key", slow))
            await asyncio.sleep(0.01)
            gone.cancel()
            await asyncio.sleep(0)
            owner.cancel()
            return await waiting

        self.assertEqual(asyncio.run(main()), "quick")

    def test_plain_call_does_not_wait_for_a_task_of_its_own_event_loop(self):
        cache = TTLCache()

        async def slow():
            await asyncio.sleep(0.01)
            return "task"

        async def main():
            task = asyncio.create_task(cache.get_or_set_async("key", slow))
            await asyncio.sleep(0)
            return cache.get_or_set("key", lambda: "plain"), await task

        self.assertEqual(asyncio.run(main()), ("plain", "task"))
        self.assertEqual(cache.get("key"), "task")

    def test_next_waiter_loads_after_the_event_loop_is_closed(self):
        cache = TTLCache()

        async def forever():
            await asyncio.Event().wait()

        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda loop, context: None)  # it would report the task
        task = loop.create_task(cache.get_or_set_async("key", forever))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        del task, loop
        gc.collect()
        results = []
        run_all([lambda: results.append(cache.get_or_set("key", lambda: "next"))])
        self.assertEqual(results, ["next"])

    def test_task_that_waits_for_itself_raises(self):
        cache = TTLCache()

        async def nested():
            return await cache.get_or_set_async("key", nested)

        def blocking():
            return cache.get_or_set("key", int)

        async def main():
            with self.assertRaises(BusyError):
                await cache.get_or_set_async("key", nested)

            async def blocks_the_loop():
                return blocking()

            with self.assertRaises(BusyError):
                await cache.get_or_set_async("key", blocks_the_loop)

        asyncio.run(main())


if __name__ == "__main__":
    unittest.main()
