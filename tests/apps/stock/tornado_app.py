"""Tornado's hello world."""

import asyncio
import os

import tornado


class Home(tornado.web.RequestHandler):
    def get(self):
        self.write("home")


async def main():
    app = tornado.web.Application([(r"/", Home)])
    app.listen(int(os.environ["PORT"]), "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
