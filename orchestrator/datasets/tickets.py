"""The demo's data: support tickets, each to be answered with one of six labels.

How the rows are held out: every label has seven concerns, and every concern is said in five ways,
written down before any model saw them. For each concern `tickets` shuffles the five with the given
seed and cuts: one phrase goes to the test split; of three concerns in seven one more goes to the
validation split; the others are for training. Rows are built only after the cut, from their own
split's phrases, with openings, remarks, closings, product names and numbers that all splits share
and that tell nothing about the label. So a test row tells of a concern that training knows, in a
phrase that occurs in no training and no validation row. Another seed gives another cut and other
rows; the same seed always gives the same ones.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

Row = dict[str, list[dict[str, str]]]

VALIDATION_CONCERNS = 3

BODIES: dict[str, tuple[tuple[str, ...], ...]] = {
    "billing": (
        (
            "I was charged twice for the same month",
            "you took the money two times this month",
            "there are two identical charges on my card",
            "my card was debited twice",
            "I have been billed double for one month",
        ),
        (
            "I need a copy of my invoice",
            "please send me the invoice again",
            "can I get the bill as a file for my tax office",
            "where can I download my invoices",
            "I never got an invoice for what I paid",
        ),
        (
            "your payment page says my card was declined",
            "my credit card is not accepted when I pay",
            "the payment fails every time",
            "I try to pay and it tells me that the card is refused",
            "paying with my card does not go through",
        ),
        (
            "there is a fee of {amount} euros that nobody told me about",
            "what is this extra charge of {amount} euros for",
            "you added {amount} euros to my bill without a word",
            "I do not understand the cost of {amount} euros on my invoice",
            "why does my bill have a surcharge of {amount} euros",
        ),
        (
            "the discount code was not taken off the total",
            "my voucher was not counted when I paid",
            "I paid the full price although I had a coupon",
            "the price on the bill is without my discount",
            "the ten percent off are not on the invoice",
        ),
        (
            "I would like to pay by bank transfer from now on",
            "can I change how I pay to direct debit",
            "please take the money from another card",
            "my credit card runs out, where do I enter the new one for payment",
            "how do I switch my payment method",
        ),
        (
            "I already paid and you still send me reminders",
            "you ask for money that I sent you last week",
            "I got a payment reminder but the bill is settled",
            "why the late fee, I paid on time",
            "has my payment of {amount} euros arrived, the bill still says open",
        ),
    ),
    "shipping": (
        (
            "my parcel has not arrived yet",
            "I am still waiting for my package",
            "the {product} should have been delivered {days} days ago",
            "my delivery is late",
            "nothing has come in the post so far",
        ),
        (
            "the tracking number does not work",
            "I cannot track my parcel with the number you gave me",
            "tracking has said in transit for {days} days",
            "the tracking page does not know my shipment",
            "the status of my package has not moved for {days} days",
        ),
        (
            "it says delivered but I never got the parcel",
            "the courier claims he handed over the box, I have nothing",
            "the package was marked as delivered and is not here",
            "your driver left it somewhere and I cannot find the parcel",
            "the parcel was delivered to somebody else",
        ),
        (
            "please send the parcel to another address",
            "can I change the delivery address",
            "the package is on its way to my old address",
            "I typed the wrong street for the delivery",
            "deliver it to my office and not to my home please",
        ),
        (
            "how long does delivery to Norway take",
            "do you ship to Canada",
            "when will it be delivered if I order today",
            "how many days does shipping to an island need",
            "is delivery abroad possible",
        ),
        (
            "can you deliver on a Saturday",
            "please deliver the package in the evening, I work all day",
            "could you hold the delivery until I am back from holiday",
            "I am not at home, when does the courier come again",
            "which day will the driver bring the parcel",
        ),
        (
            "I need the {product} by Friday, is express shipping possible",
            "can you send it faster",
            "is there a quicker delivery if I pay more",
            "please ship it with express, it is a present",
            "it has to be here tomorrow, can you hurry the shipment",
        ),
    ),
    "returns": (
        (
            "I want to send the {product} back",
            "how do I return the {product}",
            "I would like to return my {product}",
            "what do I have to do to give the {product} back",
            "I do not like the {product} and want to send it back",
        ),
        (
            "I need a return label",
            "please mail me a label so that I can send it back",
            "there was no return slip in the box",
            "where do I print the label for the return",
            "the return form is missing",
        ),
        (
            "I sent the {product} back {days} days ago and have no refund yet",
            "when do I get my money back for the {product} I returned",
            "you have my return but I am waiting for the refund",
            "the refund for the returned {product} has not come",
            "I gave it back last month and got no money back",
        ),
        (
            "the {product} does not fit, can I exchange it",
            "I want to exchange it for a bigger size",
            "it is too small, please swap it for another",
            "can I trade the {product} for a larger one",
            "the size is wrong, I would like to exchange the {product}",
        ),
        (
            "you sent me the wrong {product}",
            "I got the wrong colour and want to exchange it",
            "this is not the {product} that I ordered, where do I send it back",
            "I received another model than the one I chose, please swap it",
            "the item in the box is not mine, I want to return it",
        ),
        (
            "the {product} arrived broken and I want a replacement",
            "it came scratched, please replace it",
            "there is a crack in the {product}, I want a new one or a refund",
            "the glass was in pieces when I opened the box, send a replacement",
            "I got a damaged {product} and would like to return it",
        ),
        (
            "how many days do I have to return something",
            "is it too late to send the {product} back",
            "can I still return it after {days} days",
            "until when may I give things back",
            "what is your return policy",
        ),
    ),
    "account": (
        (
            "I forgot my password",
            "I do not remember my password",
            "how can I set a new password",
            "my password is lost, please help me to make another",
            "I need to reset my password",
        ),
        (
            "I cannot log in any more",
            "signing in does not work",
            "it does not let me log in to my account",
            "my user name and password are refused at login",
            "I try to sign in and it says wrong user",
        ),
        (
            "my account is locked",
            "I am locked out after too many attempts to log in",
            "why was my account blocked",
            "please unlock my account",
            "your system has blocked my user",
        ),
        (
            "please change the email address of my account",
            "how do I update the email in my profile",
            "I have a new email and cannot enter it in my profile",
            "my old email is gone, use another for my account",
            "I want to log in with a different email address",
        ),
        (
            "please change the name in my profile",
            "my surname has changed since the wedding, please update my account",
            "the name of my user is spelt wrong",
            "how do I edit my profile, my name is different now",
            "I would like another user name",
        ),
        (
            "someone else has logged in to my account",
            "I think my account was hacked",
            "a stranger uses my profile",
            "my password was stolen and somebody signs in as me",
            "there was a login from a country where I have never been",
        ),
        (
            "please add my colleague as a second user",
            "how can I give my wife access to the account",
            "I want to merge my two accounts",
            "can two people have the same login",
            "another person of our team needs a user of their own",
        ),
    ),
    "technical": (
        (
            "the app crashes when I open it",
            "the program closes by itself",
            "your app shuts down after a second",
            "the software crashes all the time",
            "as soon as I start the app it stops",
        ),
        (
            "the {product} does not switch on",
            "my {product} will not start",
            "the {product} stays dark when I press the button",
            "nothing happens when I turn the {product} on",
            "the {product} is dead, it does not turn on",
        ),
        (
            "I see error {number} on the screen",
            "an error message with number {number} comes up",
            "what does error code {number} mean",
            "the display shows error {number}",
            "I always get the message error {number}",
        ),
        (
            "the {product} does not connect to the wireless network",
            "I cannot connect the {product} with my phone",
            "the connection to the network breaks off all the time",
            "bluetooth does not find the {product}",
            "the {product} loses the wireless connection",
        ),
        (
            "since the update everything is very slow",
            "the new version does not work on my laptop",
            "after the last update the app hangs",
            "the update of the {product} stops at half",
            "I cannot install the update",
        ),
        (
            "the battery is empty after ten minutes",
            "the {product} does not charge any more",
            "the battery of my {product} runs down at once",
            "it only works when it is plugged in, the battery is flat",
            "charging takes a whole day and the battery lasts an hour",
        ),
        (
            "there is no sound from the {product}",
            "the screen of the {product} is black",
            "the picture flickers on the screen",
            "the sound of my {product} crackles",
            "the {product} shows only lines and no picture",
        ),
    ),
    "cancellation": (
        (
            "I want to cancel my subscription",
            "please cancel my plan",
            "cancel everything as of next month",
            "I would like to end my subscription",
            "please stop the subscription",
        ),
        (
            "I hereby terminate the contract",
            "please end my contract",
            "this is my notice, end the contract please",
            "I wish to withdraw from the contract",
            "I want to get out of my contract",
        ),
        (
            "I do not want to renew next year",
            "please do not extend my contract any further",
            "turn off the automatic renewal",
            "my plan should not be renewed",
            "let the subscription run out and do not prolong it",
        ),
        (
            "what is the notice period for ending the plan",
            "when is the last day that I can cancel",
            "how long before the end do I have to give notice",
            "until when must I cancel so that it is not renewed",
            "how early do I need to terminate",
        ),
        (
            "I no longer want to be a member",
            "please end my membership",
            "I give up my membership",
            "take me off the list of members, I am leaving",
            "stop my membership at the end of the month",
        ),
        (
            "I signed up by mistake, please cancel it",
            "I did not mean to subscribe, undo it please",
            "the trial was enough for me, do not continue it",
            "end the free trial before it becomes a contract",
            "I only wanted to test it, cancel the plan",
        ),
        (
            "is there a penalty if I cancel before the year is over",
            "can I leave the contract early",
            "I am moving abroad and must end the plan before its time",
            "what happens if I terminate the contract now",
            "am I allowed to stop the plan in the middle of the year",
        ),
    ),
}
LABELS = tuple(BODIES)
INSTRUCTION = (
    "You sort support tickets. Answer with exactly one of these labels: " + ", ".join(LABELS) + "."
)
OPENINGS = (
    "",
    "",
    "Hello,",
    "Hi,",
    "Hi there,",
    "Good morning,",
    "Good evening,",
    "Dear team,",
    "Dear support,",
    "To whom it may concern,",
    "Hey,",
    "Hello again,",
)
REMARKS = (
    "",
    "",
    "",
    "My customer number is {number}.",
    "Reference {number}.",
    "It is about the {product}.",
    "I have been with you for {days} years.",
    "This is the second time I write.",
    "I already called on Tuesday.",
    "My sister has the same question.",
    "I am writing from my phone.",
    "Nobody picked up when I called.",
)
CLOSINGS = (
    "",
    "",
    "Thanks.",
    "Thank you!",
    "Kind regards, {name}",
    "Best, {name}",
    "Regards, {name}",
    "Please help.",
    "What should I do?",
    "I look forward to your answer.",
    "Please answer soon.",
    "{name}",
)
PRODUCTS = (
    "lamp",
    "kettle",
    "headset",
    "camera",
    "speaker",
    "tablet",
    "watch",
    "toaster",
    "router",
    "keyboard",
    "heater",
    "blender",
    "monitor",
    "scale",
    "radio",
    "charger",
)
NAMES = ("Anna", "Ben", "Carla", "David", "Eva", "Finn", "Gina", "Hugo", "Ida", "Jan", "Kim", "Leo")


class Tickets(NamedTuple):
    """Three lists of chat rows: a system, a user and an assistant message each."""

    train: list[Row]
    validation: list[Row]
    test: list[Row]


def tickets(seed: int, train: int = 240, validation: int = 40, test: int = 120) -> Tickets:
    """The tickets of a seed, in splits of the given sizes, as even over the labels as can be."""
    rng = Random(f"tickets/{seed}")
    cuts = {label: cut_phrases(rng, BODIES[label]) for label in LABELS}
    used: set[str] = set()
    splits = [
        rows(rng, {label: cuts[label][part] for label in LABELS}, size, used)
        for part, size in enumerate((train, validation, test))
    ]
    return Tickets(*splits)


def cut_phrases(
    rng: Random, concerns: tuple[tuple[str, ...], ...]
) -> tuple[list[str], list[str], list[str]]:
    """The phrases of one label for training, validation and test."""
    shuffled = [rng.sample(ways, len(ways)) for ways in rng.sample(concerns, len(concerns))]
    test = [ways.pop() for ways in shuffled]
    validation = [ways.pop() for ways in shuffled[:VALIDATION_CONCERNS]]
    train = [phrase for ways in shuffled for phrase in ways]
    return rng.sample(train, len(train)), validation, test


def rows(rng: Random, phrases: dict[str, list[str]], size: int, used: set[str]) -> list[Row]:
    """Rows of one split; each phrase comes about as often as any other of its label."""
    made = []
    for i in range(size):
        label = LABELS[i % len(LABELS)]
        own = phrases[label]
        body = own[i // len(LABELS) % len(own)]
        text = ticket(rng, body)
        while text in used:
            text = ticket(rng, body)
        used.add(text)
        made.append(row(text, label))
    rng.shuffle(made)
    return made


def ticket(rng: Random, body: str) -> str:
    """The text of one ticket: opening, body, remark and closing, with the slots filled."""
    opening = rng.choice(OPENINGS)
    mark = rng.choice((".", ".", "!", ""))
    start = body if opening and rng.random() < 0.6 else body[0].upper() + body[1:]
    parts = (opening, start + mark, rng.choice(REMARKS), rng.choice(CLOSINGS))
    text = " ".join(part for part in parts if part).format(
        product=rng.choice(PRODUCTS),
        number=rng.randint(10_000, 99_999),
        amount=rng.randint(5, 480),
        days=rng.randint(3, 14),
        name=rng.choice(NAMES),
    )
    return text.lower() if rng.random() < 0.1 else text


def row(text: str, label: str) -> Row:
    """A chat row."""
    return {
        "messages": [
            {"role": "system", "content": INSTRUCTION},
            {"role": "user", "content": text},
            {"role": "assistant", "content": label},
        ]
    }
